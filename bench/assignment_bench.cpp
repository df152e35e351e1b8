// The assignment solver alone, on one thread: cost matrices that are the negated cosines of slots
// of 64 channels, one after another.
#include <benchmark/benchmark.h>

#include <cmath>

#include "osc/assignment.hpp"
#include "slots.hpp"

namespace {

constexpr std::int64_t kChannels = 64;

// [N, S, S]
std::vector<float> costs_of(osc::bench::Slots kind, std::int64_t problems, std::int64_t slots) {
  const std::vector<double> views = osc::bench::slots_of<double>(kind, problems, slots, kChannels);
  const auto product = [](const double* a, const double* b) {
    return std::inner_product(a, a + kChannels, b, 0.0);
  };
  std::vector<float> costs;
  for (std::int64_t problem = 0; problem < problems; ++problem) {
    for (std::int64_t s = 0; s < slots; ++s) {
      const double* const a = views.data() + (problem * slots + s) * kChannels;
      for (std::int64_t t = 0; t < slots; ++t) {
        const double* const b = views.data() + ((problems + problem) * slots + t) * kChannels;
        costs.push_back(
            static_cast<float>(-product(a, b) / std::sqrt(product(a, a) * product(b, b))));
      }
    }
  }
  return costs;
}

template <osc::bench::Slots kind>
void linear_sum_assignment(benchmark::State& state) {
  const std::int64_t slots = state.range(0), problems = std::max<std::int64_t>(2000 / slots, 4);
  const std::vector<float> costs = costs_of(kind, problems, slots);
  std::vector<std::int64_t> col4row(problems * slots), row4col(problems * slots);
  osc::ThreadPool one(1);
  osc::Workspace workspace;
  for (auto _ : state) {
    osc::linear_sum_assignment(osc::contiguous(costs.data(), {problems, slots, slots}),
                               {col4row.data(), row4col.data()},
                               {.executor = &one, .workspace = &workspace});
    benchmark::ClobberMemory();
  }
  state.counters["matrix"] = benchmark::Counter(
      static_cast<double>(problems),
      benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

void sides(benchmark::internal::Benchmark* bench) {
  for (const int slots : {7, 11, 16, 32, 64, 128, 256}) bench->Arg(slots);
  bench->ArgName("S");
}
BENCHMARK(linear_sum_assignment<osc::bench::Slots::gaussian>)->Apply(sides);
BENCHMARK(linear_sum_assignment<osc::bench::Slots::trained>)->Apply(sides);

}  // namespace
