// The XLA custom calls of osc.jax: the loss with its matching, and its gradient, on buffers of the host.
//
//   osc_jax_similarity_loss       f, p: [..., 2B, S, C]   →   loss: [...] or [..., 2BS],  matching: [..., B, S, 2]
//   osc_jax_similarity_gradient   f, p, matching, grad_loss: as above   →   grad_p: [..., 2B, S, C]
//
// All row-major. The attributes are `reduction` (as in osc/osc.h) and `eps`. Leading dimensions, which vmap adds, are losses of their own, all in one call. A matching is
// 64-bit integers seen as pairs of 32-bit ones: JAX has no others unless told to. osc/jax.py has checked shapes and dtypes when it traced; what is checked here again
// keeps a call from elsewhere from reading what is not there.
#include <cstddef>
#include <cstdint>
#include <exception>
#include <new>
#include <string>

#include "jax_thread_pool.hpp"
#include "osc/error.hpp"
#include "osc/float16.hpp"
#include "osc/loss_objects.hpp"
#include "osc/osc.h"
#include "xla/ffi/api/ffi.h"

namespace {

namespace ffi = xla::ffi;

// N losses of 2B rows of S slots of C channels each.
struct Sizes {
  std::int64_t losses = 1, rows, slots, channels;

  std::int64_t inputs() const { return rows * slots * channels; }  // elements of a loss
  std::int64_t matches() const { return rows / 2 * slots; }
};

Sizes sizes_of(const ffi::AnyBuffer& p) {
  const auto dimensions = p.dimensions();
  if (dimensions.size() < 3) throw osc::InvalidArgument("p must be [..., 2B, S, C]");
  const std::size_t leading = dimensions.size() - 3;
  Sizes sizes{1, dimensions[leading], dimensions[leading + 1], dimensions[leading + 2]};
  for (std::size_t i = 0; i < leading; ++i) sizes.losses *= dimensions[i];
  return sizes;
}

void check_buffer(const ffi::AnyBuffer& buffer, const char* name, ffi::DataType type, std::int64_t elements) {
  if (buffer.element_type() != type || static_cast<std::int64_t>(buffer.element_count()) != elements) {
    throw osc::InvalidArgument(std::string(name) + " has another type or number of elements than p asks for");
  }
}

osc::Reduction reduction_of(std::int64_t value) {
  switch (value) {
    case OSC_REDUCTION_NONE:
      return osc::Reduction::none;
    case OSC_REDUCTION_MEAN:
      return osc::Reduction::mean;
    case OSC_REDUCTION_SUM:
      return osc::Reduction::sum;
    default:
      throw osc::InvalidArgument("unknown reduction " + std::to_string(value));
  }
}

// Calls call(n, options) for each of the losses n: several at once where there are as many as threads, else one after another, each on all threads.
template <typename Call>
void for_each_loss(std::int64_t losses, osc::MatchingSimilarityOptions options, ffi::ThreadPool pool, const Call& call) {
  osc::jax::XlaThreadPool threads(pool);
  const auto run = [&](osc::Executor& executor, std::int64_t begin, std::int64_t end) {
    osc::Workspace workspace;
    osc::MatchingSimilarityOptions own = options;
    own.executor = &executor;
    own.workspace = &workspace;
    for (std::int64_t n = begin; n < end; ++n) call(n, own);
  };
  if (losses < threads.concurrency()) return run(threads, 0, losses);
  threads.parallel_for(losses, 1, [&](std::int64_t begin, std::int64_t end) {
    osc::jax::CallingThread alone;
    run(alone, begin, end);
  });
}

// Calls call(T()) with T the C++ type of `type`; what it throws becomes XLA's error.
template <typename Call>
ffi::Error with_type(ffi::DataType type, const Call& call) {
  try {
    switch (type) {
      case ffi::F64:
        call(double());
        break;
      case ffi::F32:
        call(float());
        break;
      case ffi::F16:
        call(osc::float16());
        break;
      case ffi::BF16:
        call(osc::bfloat16());
        break;
      default:
        throw osc::InvalidArgument("p must be float64, float32, float16 or bfloat16");
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

template <typename T>
osc::SlotPairs<T> slots_of(void* data, std::int64_t loss, const Sizes& sizes) {
  return osc::view_major_slots(static_cast<T*>(data) + loss * sizes.inputs(), {sizes.rows, sizes.slots, sizes.channels});
}

std::int64_t losses_of_one(osc::Reduction reduction, const Sizes& sizes) { return reduction == osc::Reduction::none ? sizes.rows * sizes.slots : 1; }

ffi::Error similarity_loss(ffi::ThreadPool pool, ffi::AnyBuffer f, ffi::AnyBuffer p, ffi::Result<ffi::AnyBuffer> loss, ffi::Result<ffi::AnyBuffer> matching,
                           std::int64_t reduction, double eps) {
  return with_type(p.element_type(), [&](auto element) {
    using T = decltype(element);
    const Sizes sizes = sizes_of(p);
    const osc::MatchingSimilarityOptions options{.reduction = reduction_of(reduction), .eps = eps};
    const std::int64_t stride = losses_of_one(options.reduction, sizes);
    check_buffer(f, "f", p.element_type(), sizes.losses * sizes.inputs());
    check_buffer(*loss, "loss", p.element_type(), sizes.losses * stride);
    check_buffer(*matching, "matching", ffi::S32, 2 * sizes.losses * sizes.matches());
    for_each_loss(sizes.losses, options, pool, [&](std::int64_t n, const osc::MatchingSimilarityOptions& own) {
      osc::matching_similarity_loss_per_img(slots_of<const T>(f.untyped_data(), n, sizes), slots_of<const T>(p.untyped_data(), n, sizes), own,
                                            {.loss = static_cast<T*>(loss->untyped_data()) + n * stride,
                                             .matching = static_cast<std::int64_t*>(matching->untyped_data()) + n * sizes.matches()});
    });
  });
}

ffi::Error similarity_gradient(ffi::ThreadPool pool, ffi::AnyBuffer f, ffi::AnyBuffer p, ffi::AnyBuffer matching, ffi::AnyBuffer grad_loss,
                               ffi::Result<ffi::AnyBuffer> grad_p, std::int64_t reduction, double eps) {
  return with_type(p.element_type(), [&](auto element) {
    using T = decltype(element);
    const Sizes sizes = sizes_of(p);
    const osc::MatchingSimilarityOptions options{.reduction = reduction_of(reduction), .eps = eps};
    const std::int64_t stride = losses_of_one(options.reduction, sizes);
    check_buffer(f, "f", p.element_type(), sizes.losses * sizes.inputs());
    check_buffer(matching, "matching", ffi::S32, 2 * sizes.losses * sizes.matches());
    check_buffer(grad_loss, "grad_loss", p.element_type(), sizes.losses * stride);
    check_buffer(*grad_p, "grad_p", p.element_type(), sizes.losses * sizes.inputs());
    for_each_loss(sizes.losses, options, pool, [&](std::int64_t n, const osc::MatchingSimilarityOptions& own) {
      osc::matching_similarity_loss_per_img_backward(slots_of<const T>(f.untyped_data(), n, sizes), slots_of<const T>(p.untyped_data(), n, sizes),
                                                     static_cast<const std::int64_t*>(matching.untyped_data()) + n * sizes.matches(), own,
                                                     {slots_of<T>(grad_p->untyped_data(), n, sizes), static_cast<const T*>(grad_loss.untyped_data()) + n * stride});
    });
  });
}

}  // namespace

extern "C" {
OSC_API XLA_FFI_Error* osc_jax_similarity_loss(XLA_FFI_CallFrame* frame);
OSC_API XLA_FFI_Error* osc_jax_similarity_gradient(XLA_FFI_CallFrame* frame);
}

XLA_FFI_DEFINE_HANDLER_SYMBOL(osc_jax_similarity_loss, similarity_loss,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>()
                                  .Attr<std::int64_t>("reduction")
                                  .Attr<double>("eps"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(osc_jax_similarity_gradient, similarity_gradient,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>()
                                  .Attr<std::int64_t>("reduction")
                                  .Attr<double>("eps"));
