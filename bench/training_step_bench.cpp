// Training steps on request, so that bench/training_step.py can take turns with PyTorch: each line
// "STAGE COUNT" on stdin runs that many steps of that stage (1 or 2) and answers with the seconds
// that they took.
#include <chrono>
#include <cstdio>
#include <string>

#include "data/sources.hpp"
#include "training/trainer.hpp"

int main(int argc, char** argv) {
  using namespace osc::program;
  if (argc != 2) return std::fprintf(stderr, "usage: training_step_bench THREADS\n"), 2;
  const int threads = std::stoi(argv[1]);
  torch::set_num_threads(threads);
  RunConfig config = preset("recipe");
  config.source["train_images"] = 512;
  config.control = false;  // PyTorch's side trains none
  const ImageSet images = run_images(config, threads).trained;
  RunConfig second = config;
  second.stage[0].steps = 0;
  config.stage[0].steps = second.stage[1].steps = 1'000'000;
  Trainer trainers[] = {Trainer(config, images), Trainer(second, images)};
  int stage = 0;
  int count = 0;
  while (std::scanf("%d %d", &stage, &count) == 2) {
    const auto start = std::chrono::steady_clock::now();
    for (int k = 0; k < count; ++k) trainers[stage - 1].step();
    std::printf("%.6f\n",
                std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    std::fflush(stdout);
  }
  return 0;
}
