#include "cpu/simd/vector128.hpp"  // first: the kernels are written in it

#include "cpu/kernels_for.hpp"

namespace osc::cpu {
namespace {

#if defined(__x86_64__)
constexpr const char* kName = "x86-64";
#elif defined(__ARM_NEON)
constexpr const char* kName = "neon";
#else
constexpr const char* kName = "generic";
#endif

}  // namespace

const Kernels baseline_kernels{kName, kernels_for<double>(), kernels_for<float>(),
                               kernels_for<float16>(), kernels_for<bfloat16>()};

}  // namespace osc::cpu
