// The XLA custom calls of osc.jax, on buffers of the host: the losses with what their gradients
// need of them, their gradients, and the assignments.
//
//   osc_jax_similarity_loss            f, p: [..., 2B, S, C]   →   loss: [...] or [..., 2BS],
//                                      matching: [..., B, S, 2]
//   osc_jax_similarity_gradient        f, p, matching, grad_loss: as above   →   grad_p: [..., 2B,
//                                      S, C]
//   osc_jax_contrastive_loss           slots: [..., 2B, S, C]   →   loss: as above,  matching: as
//                                      above,  log_sums: [..., 2BS, 2],  accuracy: [...], float32
//   osc_jax_contrastive_gradient       slots, matching, log_sums, grad_loss   →   grad_slots
//   osc_jax_small_to_large_loss        f_large: [..., B, Al, L, C], p_small: [..., B, As, S, C]   →
//                                      loss: [...] or [..., B, Al, As],  matching: [..., B, Al, As,
//                                      S, 2],  ratio: [...], float32
//   osc_jax_small_to_large_gradient    f_large, p_small, matching, grad_loss   →   grad_p
//   osc_jax_variance_covariance_loss       x: [..., G, N, D]   →   variance, covariance: [...]
//   osc_jax_variance_covariance_gradient   x, grad_variance, grad_covariance   →   grad_x
//   osc_jax_match_slots                f: [..., 2B, S, C]   →   matching
//   osc_jax_linear_sum_assignment      cost: [..., R, K]   →   col4row: [..., R, 2],  row4col:
//                                      [..., K, 2]
//
// All row-major. The attributes are `reduction` (as in osc/osc.h), `eps`, `temperature`,
// `within_images` and `maximize`. Leading dimensions, which vmap adds, are calls of their own, all
// in one. 64-bit integers and numbers are seen as pairs of 32-bit integers: JAX has no others
// unless told to. osc/jax.py has checked shapes and dtypes when it traced; what is checked here
// again keeps a call from elsewhere from reading what is not there.
#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <new>
#include <numeric>
#include <string>
#include <utility>

#include "jax_thread_pool.hpp"
#include "osc/assignment.hpp"
#include "osc/contrastive_loss.hpp"
#include "osc/error.hpp"
#include "osc/float16.hpp"
#include "osc/loss_objects.hpp"
#include "osc/osc.h"
#include "osc/small_to_large_loss.hpp"
#include "osc/variance_covariance_loss.hpp"
#include "xla/ffi/api/ffi.h"

namespace {

namespace ffi = xla::ffi;

// The dimensions of one call, the last of a buffer, and how many calls there are.
template <std::size_t Dimensions>
struct Sizes {
  std::int64_t calls = 1;
  std::array<std::int64_t, Dimensions> each{};

  std::int64_t operator[](std::size_t i) const { return each[i]; }
  std::int64_t elements() const {
    return std::accumulate(each.begin(), each.end(), std::int64_t{1}, std::multiplies<>());
  }
};

template <std::size_t Dimensions>
Sizes<Dimensions> sizes_of(const ffi::AnyBuffer& buffer, const char* name) {
  const auto dimensions = buffer.dimensions();
  if (dimensions.size() < Dimensions)
    throw osc::InvalidArgument(std::string(name) + " must have " + std::to_string(Dimensions) +
                               " dimensions");
  const std::size_t leading = dimensions.size() - Dimensions;
  Sizes<Dimensions> sizes;
  for (std::size_t i = 0; i < leading; ++i) sizes.calls *= dimensions[i];
  for (std::size_t i = 0; i < Dimensions; ++i) sizes.each[i] = dimensions[leading + i];
  return sizes;
}

void check_buffer(const ffi::AnyBuffer& buffer, const char* name, ffi::DataType type,
                  std::int64_t elements) {
  if (buffer.element_type() != type ||
      static_cast<std::int64_t>(buffer.element_count()) != elements) {
    throw osc::InvalidArgument(std::string(name) +
                               " has another type or number of elements than the slots ask for");
  }
}

// One of the calls' part of a buffer, which has so many elements of T.
template <typename T>
T* part(const ffi::AnyBuffer& buffer, std::int64_t call, std::int64_t elements) {
  return static_cast<T*>(buffer.untyped_data()) + call * elements;
}

osc::Reduction reduction_of(std::int64_t value) {
  switch (value) {
    case OSC_REDUCTION_NONE: return osc::Reduction::none;
    case OSC_REDUCTION_MEAN: return osc::Reduction::mean;
    case OSC_REDUCTION_SUM: return osc::Reduction::sum;
    default: throw osc::InvalidArgument("unknown reduction " + std::to_string(value));
  }
}

// Runs run(n, options) for each of the calls n: several at once where there are as many as threads,
// else one after another, each on all threads.
template <typename Options, typename Run>
void for_each_call(std::int64_t calls, const Options& options, ffi::ThreadPool pool,
                   const Run& run) {
  osc::jax::XlaThreadPool threads(pool);
  const auto run_some = [&](osc::Executor& executor, std::int64_t begin, std::int64_t end) {
    osc::Workspace workspace;
    Options own = options;
    own.executor = &executor;
    own.workspace = &workspace;
    for (std::int64_t n = begin; n < end; ++n) run(n, own);
  };
  if (calls < threads.concurrency()) return run_some(threads, 0, calls);
  threads.parallel_for(calls, 1, [&](std::int64_t begin, std::int64_t end) {
    osc::jax::CallingThread alone;
    run_some(alone, begin, end);
  });
}

// Calls call(T()) with T the C++ type of `type`; what it throws becomes XLA's error.
template <typename Call>
ffi::Error with_type(ffi::DataType type, const Call& call) {
  try {
    switch (type) {
      case ffi::F64: call(double()); break;
      case ffi::F32: call(float()); break;
      case ffi::F16: call(osc::float16()); break;
      case ffi::BF16: call(osc::bfloat16()); break;
      default:
        throw osc::InvalidArgument("the numbers must be float64, float32, float16 or bfloat16");
    }
    return ffi::Error::Success();
  } catch (const osc::InvalidArgument& error) {
    return ffi::Error::InvalidArgument(error.what());
  } catch (const std::bad_alloc&) {
    return ffi::Error(ffi::ErrorCode::kResourceExhausted, "out of memory");
  } catch (const std::exception& error) {
    return ffi::Error::Internal(error.what());
  }
}

// Slots [2B, S, C] of one of the calls.
using SlotSizes = Sizes<3>;

template <typename T>
osc::SlotPairs<T> slots_of(const ffi::AnyBuffer& buffer, std::int64_t call,
                           const SlotSizes& sizes) {
  return osc::view_major_slots(part<T>(buffer, call, sizes.elements()), sizes.each);
}

std::int64_t matches_of(const SlotSizes& sizes) { return sizes[0] / 2 * sizes[1]; }
std::int64_t losses_of(osc::Reduction reduction, const SlotSizes& sizes) {
  return reduction == osc::Reduction::none ? sizes[0] * sizes[1] : 1;
}

ffi::Error similarity_loss(ffi::ThreadPool pool, ffi::AnyBuffer f, ffi::AnyBuffer p,
                           ffi::Result<ffi::AnyBuffer> loss, ffi::Result<ffi::AnyBuffer> matching,
                           std::int64_t reduction, double eps) {
  return with_type(p.element_type(), [&](auto element) {
    using T = decltype(element);
    const SlotSizes sizes = sizes_of<3>(p, "p");
    const osc::MatchingSimilarityOptions options{.reduction = reduction_of(reduction), .eps = eps};
    const std::int64_t losses = losses_of(options.reduction, sizes), matches = matches_of(sizes);
    check_buffer(f, "f", p.element_type(), sizes.calls * sizes.elements());
    check_buffer(*loss, "loss", p.element_type(), sizes.calls * losses);
    check_buffer(*matching, "matching", ffi::S32, 2 * sizes.calls * matches);
    for_each_call(sizes.calls, options, pool,
                  [&](std::int64_t n, const osc::MatchingSimilarityOptions& own) {
                    osc::matching_similarity_loss_per_img(
                        slots_of<const T>(f, n, sizes), slots_of<const T>(p, n, sizes), own,
                        {.loss = part<T>(*loss, n, losses),
                         .matching = part<std::int64_t>(*matching, n, matches)});
                  });
  });
}

ffi::Error similarity_gradient(ffi::ThreadPool pool, ffi::AnyBuffer f, ffi::AnyBuffer p,
                               ffi::AnyBuffer matching, ffi::AnyBuffer grad_loss,
                               ffi::Result<ffi::AnyBuffer> grad_p, std::int64_t reduction,
                               double eps) {
  return with_type(p.element_type(), [&](auto element) {
    using T = decltype(element);
    const SlotSizes sizes = sizes_of<3>(p, "p");
    const osc::MatchingSimilarityOptions options{.reduction = reduction_of(reduction), .eps = eps};
    const std::int64_t losses = losses_of(options.reduction, sizes), matches = matches_of(sizes);
    check_buffer(f, "f", p.element_type(), sizes.calls * sizes.elements());
    check_buffer(matching, "matching", ffi::S32, 2 * sizes.calls * matches);
    check_buffer(grad_loss, "grad_loss", p.element_type(), sizes.calls * losses);
    check_buffer(*grad_p, "grad_p", p.element_type(), sizes.calls * sizes.elements());
    for_each_call(sizes.calls, options, pool,
                  [&](std::int64_t n, const osc::MatchingSimilarityOptions& own) {
                    osc::matching_similarity_loss_per_img_backward(
                        slots_of<const T>(f, n, sizes), slots_of<const T>(p, n, sizes),
                        part<const std::int64_t>(matching, n, matches), own,
                        {slots_of<T>(*grad_p, n, sizes), part<const T>(grad_loss, n, losses)});
                  });
  });
}

osc::MatchingContrastiveOptions contrastive_options(bool within_images, double temperature,
                                                    std::int64_t reduction, double eps) {
  return {.candidates = within_images ? osc::Candidates::image : osc::Candidates::batch,
          .temperature = temperature,
          .reduction = reduction_of(reduction),
          .eps = eps};
}

ffi::Error contrastive_loss(ffi::ThreadPool pool, ffi::AnyBuffer slots,
                            ffi::Result<ffi::AnyBuffer> loss, ffi::Result<ffi::AnyBuffer> matching,
                            ffi::Result<ffi::AnyBuffer> log_sums,
                            ffi::Result<ffi::AnyBuffer> accuracy, bool within_images,
                            double temperature, std::int64_t reduction, double eps) {
  return with_type(slots.element_type(), [&](auto element) {
    using T = decltype(element);
    const SlotSizes sizes = sizes_of<3>(slots, "slots");
    const osc::MatchingContrastiveOptions options =
        contrastive_options(within_images, temperature, reduction, eps);
    const std::int64_t losses = losses_of(options.reduction, sizes), matches = matches_of(sizes);
    check_buffer(*loss, "loss", slots.element_type(), sizes.calls * losses);
    check_buffer(*matching, "matching", ffi::S32, 2 * sizes.calls * matches);
    check_buffer(*log_sums, "log_sums", ffi::S32, 2 * sizes.calls * 2 * matches);
    check_buffer(*accuracy, "accuracy", ffi::F32, sizes.calls);
    for_each_call(sizes.calls, options, pool,
                  [&](std::int64_t n, const osc::MatchingContrastiveOptions& own) {
                    double in_double = 0;
                    osc::matching_contrastive_loss(
                        slots_of<const T>(slots, n, sizes), own,
                        {.loss = part<T>(*loss, n, losses),
                         .matching = part<std::int64_t>(*matching, n, matches),
                         .log_sums = part<double>(*log_sums, n, 2 * matches),
                         .accuracy = &in_double});
                    *part<float>(*accuracy, n, 1) = static_cast<float>(in_double);
                  });
  });
}

ffi::Error contrastive_gradient(ffi::ThreadPool pool, ffi::AnyBuffer slots, ffi::AnyBuffer matching,
                                ffi::AnyBuffer log_sums, ffi::AnyBuffer grad_loss,
                                ffi::Result<ffi::AnyBuffer> grad_slots, bool within_images,
                                double temperature, std::int64_t reduction, double eps) {
  return with_type(slots.element_type(), [&](auto element) {
    using T = decltype(element);
    const SlotSizes sizes = sizes_of<3>(slots, "slots");
    const osc::MatchingContrastiveOptions options =
        contrastive_options(within_images, temperature, reduction, eps);
    const std::int64_t losses = losses_of(options.reduction, sizes), matches = matches_of(sizes);
    check_buffer(matching, "matching", ffi::S32, 2 * sizes.calls * matches);
    check_buffer(log_sums, "log_sums", ffi::S32, 2 * sizes.calls * 2 * matches);
    check_buffer(grad_loss, "grad_loss", slots.element_type(), sizes.calls * losses);
    check_buffer(*grad_slots, "grad_slots", slots.element_type(), sizes.calls * sizes.elements());
    for_each_call(sizes.calls, options, pool,
                  [&](std::int64_t n, const osc::MatchingContrastiveOptions& own) {
                    osc::matching_contrastive_loss_backward(
                        slots_of<const T>(slots, n, sizes),
                        part<const std::int64_t>(matching, n, matches),
                        part<const double>(log_sums, n, 2 * matches), own,
                        {slots_of<T>(*grad_slots, n, sizes), part<const T>(grad_loss, n, losses)});
                  });
  });
}

template <typename T>
osc::SlotCrops<T> crops_of(const ffi::AnyBuffer& buffer, std::int64_t call, const Sizes<4>& sizes) {
  return osc::contiguous_crops<T>(part<T>(buffer, call, sizes.elements()), sizes[0], sizes[1],
                                  sizes[2], sizes[3]);
}

// The pairs of crops of one of the calls.
std::int64_t pairs_of(const Sizes<4>& large, const Sizes<4>& small) {
  if (large.calls != small.calls || large[0] != small[0] || large[3] != small[3])
    throw osc::InvalidArgument("f_large and p_small must have as many images and channels");
  return large[0] * large[1] * small[1];
}

ffi::Error small_to_large_loss(ffi::ThreadPool pool, ffi::AnyBuffer f_large, ffi::AnyBuffer p_small,
                               ffi::Result<ffi::AnyBuffer> loss,
                               ffi::Result<ffi::AnyBuffer> matching,
                               ffi::Result<ffi::AnyBuffer> counted_ratio, std::int64_t reduction,
                               double eps) {
  return with_type(p_small.element_type(), [&](auto element) {
    using T = decltype(element);
    const Sizes<4> large = sizes_of<4>(f_large, "f_large"), small = sizes_of<4>(p_small, "p_small");
    const osc::SmallToLargeOptions options{.reduction = reduction_of(reduction), .eps = eps};
    const std::int64_t pairs = pairs_of(large, small),
                       losses = options.reduction == osc::Reduction::none ? pairs : 1,
                       matches = pairs * small[2];
    check_buffer(f_large, "f_large", p_small.element_type(), large.calls * large.elements());
    check_buffer(*loss, "loss", p_small.element_type(), small.calls * losses);
    check_buffer(*matching, "matching", ffi::S32, 2 * small.calls * matches);
    check_buffer(*counted_ratio, "counted_ratio", ffi::F32, small.calls);
    for_each_call(
        small.calls, options, pool, [&](std::int64_t n, const osc::SmallToLargeOptions& own) {
          double in_double = 0;
          osc::matching_similarity_loss_small_to_large(
              crops_of<const T>(f_large, n, large), crops_of<const T>(p_small, n, small), own,
              {.loss = part<T>(*loss, n, losses),
               .counted_ratio = &in_double,
               .matching = part<std::int64_t>(*matching, n, matches)});
          *part<float>(*counted_ratio, n, 1) = static_cast<float>(in_double);
        });
  });
}

ffi::Error small_to_large_gradient(ffi::ThreadPool pool, ffi::AnyBuffer f_large,
                                   ffi::AnyBuffer p_small, ffi::AnyBuffer matching,
                                   ffi::AnyBuffer grad_loss, ffi::Result<ffi::AnyBuffer> grad_p,
                                   std::int64_t reduction, double eps) {
  return with_type(p_small.element_type(), [&](auto element) {
    using T = decltype(element);
    const Sizes<4> large = sizes_of<4>(f_large, "f_large"), small = sizes_of<4>(p_small, "p_small");
    const osc::SmallToLargeOptions options{.reduction = reduction_of(reduction), .eps = eps};
    const std::int64_t pairs = pairs_of(large, small),
                       losses = options.reduction == osc::Reduction::none ? pairs : 1,
                       matches = pairs * small[2];
    check_buffer(f_large, "f_large", p_small.element_type(), large.calls * large.elements());
    check_buffer(matching, "matching", ffi::S32, 2 * small.calls * matches);
    check_buffer(grad_loss, "grad_loss", p_small.element_type(), small.calls * losses);
    check_buffer(*grad_p, "grad_p", p_small.element_type(), small.calls * small.elements());
    for_each_call(small.calls, options, pool,
                  [&](std::int64_t n, const osc::SmallToLargeOptions& own) {
                    osc::matching_similarity_loss_small_to_large_backward(
                        crops_of<const T>(f_large, n, large), crops_of<const T>(p_small, n, small),
                        part<const std::int64_t>(matching, n, matches), own,
                        {crops_of<T>(*grad_p, n, small), part<const T>(grad_loss, n, losses)});
                  });
  });
}

template <typename T>
osc::Samples<T> samples_of(const ffi::AnyBuffer& buffer, std::int64_t call, const Sizes<3>& sizes) {
  return osc::contiguous_samples<T>(part<T>(buffer, call, sizes.elements()), sizes[0], sizes[1],
                                    sizes[2]);
}

ffi::Error variance_covariance_loss(ffi::ThreadPool pool, ffi::AnyBuffer x,
                                    ffi::Result<ffi::AnyBuffer> variance,
                                    ffi::Result<ffi::AnyBuffer> covariance) {
  return with_type(x.element_type(), [&](auto element) {
    using T = decltype(element);
    const Sizes<3> sizes = sizes_of<3>(x, "x");
    check_buffer(*variance, "variance", x.element_type(), sizes.calls);
    check_buffer(*covariance, "covariance", x.element_type(), sizes.calls);
    for_each_call(sizes.calls, osc::VarianceCovarianceOptions{}, pool,
                  [&](std::int64_t n, const osc::VarianceCovarianceOptions& own) {
                    osc::variance_covariance_loss(samples_of<const T>(x, n, sizes), own,
                                                  {.variance = part<T>(*variance, n, 1),
                                                   .covariance = part<T>(*covariance, n, 1)});
                  });
  });
}

ffi::Error variance_covariance_gradient(ffi::ThreadPool pool, ffi::AnyBuffer x,
                                        ffi::AnyBuffer grad_variance,
                                        ffi::AnyBuffer grad_covariance,
                                        ffi::Result<ffi::AnyBuffer> grad_x) {
  return with_type(x.element_type(), [&](auto element) {
    using T = decltype(element);
    const Sizes<3> sizes = sizes_of<3>(x, "x");
    check_buffer(grad_variance, "grad_variance", x.element_type(), sizes.calls);
    check_buffer(grad_covariance, "grad_covariance", x.element_type(), sizes.calls);
    check_buffer(*grad_x, "grad_x", x.element_type(), sizes.calls * sizes.elements());
    for_each_call(
        sizes.calls, osc::VarianceCovarianceOptions{}, pool,
        [&](std::int64_t n, const osc::VarianceCovarianceOptions& own) {
          osc::variance_covariance_loss(
              samples_of<const T>(x, n, sizes), own,
              {.gradient = {{samples_of<T>(*grad_x, n, sizes), part<const T>(grad_variance, n, 1),
                             part<const T>(grad_covariance, n, 1)}}});
        });
  });
}

ffi::Error match_slots(ffi::ThreadPool pool, ffi::AnyBuffer f, ffi::Result<ffi::AnyBuffer> matching,
                       double eps) {
  return with_type(f.element_type(), [&](auto element) {
    using T = decltype(element);
    const SlotSizes sizes = sizes_of<3>(f, "f");
    check_buffer(*matching, "matching", ffi::S32, 2 * sizes.calls * matches_of(sizes));
    for_each_call(sizes.calls, osc::MatchOptions{.eps = eps}, pool,
                  [&](std::int64_t n, const osc::MatchOptions& own) {
                    osc::match_slots(slots_of<const T>(f, n, sizes),
                                     part<std::int64_t>(*matching, n, matches_of(sizes)), own);
                  });
  });
}

ffi::Error linear_sum_assignment(ffi::ThreadPool pool, ffi::AnyBuffer cost,
                                 ffi::Result<ffi::AnyBuffer> col4row,
                                 ffi::Result<ffi::AnyBuffer> row4col, bool maximize) {
  return with_type(cost.element_type(), [&](auto element) {
    using T = decltype(element);
    const Sizes<2> sizes = sizes_of<2>(cost, "cost");
    check_buffer(*col4row, "col4row", ffi::S32, 2 * sizes.calls * sizes[0]);
    check_buffer(*row4col, "row4col", ffi::S32, 2 * sizes.calls * sizes[1]);
    osc::jax::XlaThreadPool threads(pool);
    osc::linear_sum_assignment(
        osc::contiguous_costs(part<const T>(cost, 0, 0), sizes.calls, sizes[0], sizes[1]),
        {part<std::int64_t>(*col4row, 0, 0), part<std::int64_t>(*row4col, 0, 0)},
        {maximize, osc::OnUnsolvable::unmatched, &threads});
  });
}

template <std::size_t Arguments, std::size_t Results, typename Binding>
auto with_buffers(Binding binding) {
  if constexpr (Arguments > 0) {
    return with_buffers<Arguments - 1, Results>(std::move(binding).template Arg<ffi::AnyBuffer>());
  } else if constexpr (Results > 1) {
    return with_buffers<0, Results - 1>(std::move(binding).template Ret<ffi::AnyBuffer>());
  } else {
    return std::move(binding).template Ret<ffi::AnyBuffer>();
  }
}

template <std::size_t Arguments, std::size_t Results>
auto buffers() {
  return with_buffers<Arguments, Results>(ffi::Ffi::Bind().Ctx<ffi::ThreadPool>());
}

template <typename Binding>
auto with_loss_options(Binding binding) {
  return std::move(binding).template Attr<std::int64_t>("reduction").template Attr<double>("eps");
}

template <typename Binding>
auto with_contrastive_options(Binding binding) {
  return with_loss_options(
      std::move(binding).template Attr<bool>("within_images").template Attr<double>("temperature"));
}

}  // namespace

#define OSC_JAX_HANDLER(name, binding)                                  \
  extern "C" OSC_API XLA_FFI_Error* osc_jax_##name(XLA_FFI_CallFrame*); \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(osc_jax_##name, name, binding)

OSC_JAX_HANDLER(similarity_loss, (with_loss_options(buffers<2, 2>())));
OSC_JAX_HANDLER(similarity_gradient, (with_loss_options(buffers<4, 1>())));
OSC_JAX_HANDLER(contrastive_loss, (with_contrastive_options(buffers<1, 4>())));
OSC_JAX_HANDLER(contrastive_gradient, (with_contrastive_options(buffers<4, 1>())));
OSC_JAX_HANDLER(small_to_large_loss, (with_loss_options(buffers<2, 3>())));
OSC_JAX_HANDLER(small_to_large_gradient, (with_loss_options(buffers<4, 1>())));
OSC_JAX_HANDLER(variance_covariance_loss, (buffers<1, 2>()));
OSC_JAX_HANDLER(variance_covariance_gradient, (buffers<3, 1>()));
OSC_JAX_HANDLER(match_slots, (buffers<1, 1>().Attr<double>("eps")));
OSC_JAX_HANDLER(linear_sum_assignment, (buffers<1, 2>().Attr<bool>("maximize")));
