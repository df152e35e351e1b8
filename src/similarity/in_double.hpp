// The similarity loss of one image in plain loops and in double, with norms that neither overflow
// nor vanish: for slots of extreme magnitude, and for images that hold a NaN or an infinity, whose
// results are NaN.
#pragma once

#include <cstddef>
#include <cstdint>

#include "similarity/task.hpp"

namespace osc::cpu {

struct SimilarityInDouble {
  double* units;           // [2, S, C], of f
  double* unit;            // [C], of a slot of p
  std::int64_t* matching;  // [2, S], of the first view and back
  double* costs;           // [S, S]
  char* solver;            // what it works in

  template <typename Arena>
  static SimilarityInDouble take(Arena& arena, std::int64_t slots, std::int64_t channels) {
    SimilarityInDouble memory{};
    memory.units = arena.template take<double>(2 * slots, channels);
    memory.unit = arena.template take<double>(channels);
    memory.matching = arena.template take<std::int64_t>(2 * slots);
    memory.costs = arena.template take<double>(slots, slots);
    memory.solver = arena.template take<char>(static_cast<std::int64_t>(solver_memory(slots)));
    return memory;
  }

 private:
  static std::size_t solver_memory(std::int64_t slots) noexcept;
};

// Everything that the task asks for, of one image. `matching` [S] and the way back, where they are
// known already; else null.
template <typename T>
void similarity_in_double(const SimilarityTask<T>& task, std::int64_t image,
                          SimilarityInDouble& memory, const std::int32_t* matching = nullptr,
                          const std::int32_t* inverse_matching = nullptr) noexcept;

// The gradient alone of one slot of p, whose target is that slot of the other view of f; of finite
// slots.
template <typename T>
void similarity_gradient_in_double(const SimilarityTask<T>& task, std::int64_t view,
                                   std::int64_t image, std::int64_t slot, std::int64_t target,
                                   const SimilarityInDouble& memory) noexcept;

}  // namespace osc::cpu
