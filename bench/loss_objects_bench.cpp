// The similarity loss with its gradient, on all cores and on one.
#include <benchmark/benchmark.h>

#include "osc/similarity_loss.hpp"
#include "osc/system.hpp"
#include "slots.hpp"

namespace {

// Arguments: B, S, C, threads.
template <typename T, osc::bench::Slots kind = osc::bench::Slots::gaussian>
void similarity_with_gradient(benchmark::State& state) {
  const std::int64_t images = state.range(0), slots = state.range(1), channels = state.range(2);
  const std::vector<T> f = osc::bench::slots_of<T>(kind, images, slots, channels),
                       p = osc::bench::slots_of<T>(osc::bench::Slots::gaussian, images, slots,
                                                   channels);
  std::vector<T> gradient(f.size());
  T loss{};
  const std::int64_t shape[] = {2 * images, slots, channels};
  const osc::SimilarityLossResults<T> results{.loss = &loss,
                                              .grad_p = osc::view_major(gradient.data(), shape)};
  osc::ThreadPool threads(static_cast<int>(state.range(3)));
  osc::Workspace workspace;
  for (auto _ : state) {
    osc::matching_similarity_loss_per_img(osc::view_major(f.data(), shape),
                                          osc::view_major(p.data(), shape),
                                          {.executor = &threads, .workspace = &workspace}, results);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * 3 * f.size() * sizeof(T)));
}

void sizes(benchmark::internal::Benchmark* bench) {
  constexpr int kSizes[][3] = {{64, 7, 64},    {64, 11, 64},  {64, 11, 256}, {256, 16, 256},
                               {1024, 11, 64}, {64, 64, 256}, {16, 128, 768}};
  bench->ArgNames({"B", "S", "C", "threads"})->UseRealTime();
  for (const auto& [images, slots, channels] : kSizes) {
    bench->Args({images, slots, channels, 1});
    if (osc::available_cores() > 1) bench->Args({images, slots, channels, osc::available_cores()});
  }
}
BENCHMARK(similarity_with_gradient<float>)->Apply(sizes);
BENCHMARK(similarity_with_gradient<float, osc::bench::Slots::trained>)->Apply(sizes);
BENCHMARK(similarity_with_gradient<double>)->Apply(sizes);
BENCHMARK(similarity_with_gradient<osc::float16>)->Apply(sizes);
BENCHMARK(similarity_with_gradient<osc::bfloat16>)->Apply(sizes);

}  // namespace
