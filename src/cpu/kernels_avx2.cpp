#include "cpu/simd/avx2.hpp"  // first: the kernels are written in it

#include "cpu/kernels_for.hpp"

namespace osc::cpu {

const Kernels avx2_kernels{"avx2", kernels_for<double>(), kernels_for<float>(),
                           kernels_for<float16>(), kernels_for<bfloat16>()};

}  // namespace osc::cpu
