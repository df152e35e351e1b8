// The kernels alone, under Google Benchmark: kernels_bench [--benchmark_filter=…].
#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include "osc/assignment.hpp"
#include "osc/loss_objects.hpp"

namespace {

template <typename T>
std::vector<T> gaussian(std::size_t count) {
  std::mt19937_64 random(1);
  std::normal_distribution<double> normal;
  std::vector<T> values(count);
  for (T& x : values) x = static_cast<T>(normal(random));
  return values;
}

template <typename T>
void similarity_with_gradient(benchmark::State& state) {
  const std::array<std::int64_t, 3> shape = {2 * state.range(0), state.range(1), state.range(2)};
  const std::size_t elements = static_cast<std::size_t>(shape[0] * shape[1] * shape[2]);
  const std::vector<T> f = gaussian<T>(elements);
  const std::vector<T> p = gaussian<T>(elements);
  std::vector<T> gradient(elements);
  T loss = 0;
  osc::MatchingSimilarityResults<T> results;
  results.loss = &loss;
  results.gradient = osc::SimilarityGradient<T>{osc::view_major_slots(gradient.data(), shape)};
  for (auto _ : state) {
    osc::matching_similarity_loss_per_img(osc::view_major_slots(f.data(), shape), osc::view_major_slots(p.data(), shape), {}, results);
    benchmark::DoNotOptimize(loss);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * static_cast<std::int64_t>(3 * elements * sizeof(T)));
}

void sizes_of_the_loss(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"B", "S", "C"})->Args({64, 7, 64})->Args({64, 11, 64})->Args({64, 11, 256})->Args({256, 16, 256})->Args({64, 64, 256})->UseRealTime();
}
BENCHMARK(similarity_with_gradient<float>)->Apply(sizes_of_the_loss);
BENCHMARK(similarity_with_gradient<double>)->Apply(sizes_of_the_loss);

}  // namespace
