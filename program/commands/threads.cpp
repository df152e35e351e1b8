#include "commands/threads.hpp"

#include <torch/torch.h>

#include "osc/system.hpp"

namespace osc::program {

int use_threads(std::int64_t wanted) {
  const int threads = wanted > 0 ? static_cast<int>(wanted) : available_cores();
  torch::set_num_threads(threads);
  return threads;
}

}  // namespace osc::program
