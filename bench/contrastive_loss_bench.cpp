// The contrastive loss with its gradient, on all cores and on one.
#include <benchmark/benchmark.h>

#include "osc/contrastive_loss.hpp"
#include "osc/system.hpp"
#include "slots.hpp"

namespace {

// Arguments: B, S, C, threads.
template <typename T, osc::Candidates candidates>
void contrastive_with_gradient(benchmark::State& state) {
  const std::int64_t images = state.range(0), slots = state.range(1), channels = state.range(2);
  const std::vector<T> x =
      osc::bench::slots_of<T>(osc::bench::Slots::trained, images, slots, channels);
  std::vector<T> gradient(x.size());
  T loss{};
  const std::int64_t shape[] = {2 * images, slots, channels};
  const osc::ContrastiveLossResults<T> results{
      .loss = &loss, .grad_slots = osc::view_major(gradient.data(), shape)};
  osc::ThreadPool threads(static_cast<int>(state.range(3)));
  osc::Workspace workspace;
  for (auto _ : state) {
    osc::matching_contrastive_loss(osc::view_major(x.data(), shape),
                                   {.candidates = candidates,
                                    .temperature = 0.1,
                                    .executor = &threads,
                                    .workspace = &workspace},
                                   results);
    benchmark::ClobberMemory();
  }
  const auto rows = static_cast<double>(2 * images * slots),
             others =
                 candidates == osc::Candidates::batch ? rows : 2.0 * static_cast<double>(slots);
  state.counters["multiplications"] =
      benchmark::Counter(2 * rows * others * static_cast<double>(channels),
                         benchmark::Counter::kIsIterationInvariantRate);
}

void sizes(benchmark::internal::Benchmark* bench) {
  constexpr int kSizes[][3] = {{64, 7, 64}, {64, 11, 64}, {256, 11, 128}, {16, 64, 256}};
  bench->ArgNames({"B", "S", "C", "threads"})->UseRealTime();
  for (const auto& [images, slots, channels] : kSizes) {
    bench->Args({images, slots, channels, 1});
    if (osc::available_cores() > 1) bench->Args({images, slots, channels, osc::available_cores()});
  }
}
BENCHMARK(contrastive_with_gradient<float, osc::Candidates::batch>)->Apply(sizes);
BENCHMARK(contrastive_with_gradient<float, osc::Candidates::image>)->Apply(sizes);
BENCHMARK(contrastive_with_gradient<double, osc::Candidates::batch>)->Apply(sizes);

}  // namespace
