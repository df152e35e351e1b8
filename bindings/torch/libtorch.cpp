// The operators for C++ callers, through PyTorch's dispatcher, with their derivatives.
#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/torch.h>

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "operators.hpp"
#include "osc/libtorch/assignment.hpp"
#include "osc/libtorch/loss_global.hpp"
#include "osc/libtorch/loss_objects.hpp"
#include "osc/osc.h"
#include "reference.hpp"

namespace osc::libtorch {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Results of an operator, which is called by its name with the arguments of its schema.
std::vector<Tensor> call(const std::string& name, torch::jit::Stack arguments) {
  static const bool registered = torch_operators::are_registered();
  TORCH_INTERNAL_ASSERT(registered);
  const auto op = c10::Dispatcher::singleton().findSchemaOrThrow(("osc::" + name).c_str(), "");
  const at::AutoDispatchBelowAutograd below;
  try {
    op.callBoxed(&arguments);
  } catch (const std::invalid_argument& error) {
    TORCH_CHECK_VALUE(false, error.what());
  }
  std::vector<Tensor> results;
  for (const c10::IValue& result : arguments) results.push_back(result.toTensor());
  return results;
}

// A loss and its derivatives: the inputs, of which the last is differentiated, the losses, and
// which of the results are the residuals.
struct Loss {
  const char* name;
  int inputs, losses;
  std::vector<int> residuals;
  bool takes_matching;
  Formula formula;
};

const Loss kSimilarity{"matching_similarity_loss_per_img", 2, 1, {1}, true, similarity};
const Loss kContrastive{"matching_contrastive_loss", 1, 1, {1, 2}, true, contrastive};
const Loss kSmallToLarge{
    "matching_similarity_loss_small_to_large", 2, 1, {1}, true, small_to_large};
const Loss kVarianceCovariance{"variance_covariance_loss", 1, 2, {}, false, variance_covariance};

struct Options {
  std::vector<c10::IValue> values;  // in the order of the schema, without on_nonfinite
  FormulaOptions formula;
};

// Saves the loss and its options in an autograd node, which stores them as IValues.
void save(AutogradContext* context, const Loss* loss, const Options& options) {
  context->saved_data["loss"] = reinterpret_cast<std::int64_t>(loss);
  context->saved_data["values"] = c10::ivalue::Tuple::create(options.values);
  context->saved_data["reduction"] = options.formula.reduction;
  context->saved_data["candidates"] = options.formula.candidates;
  context->saved_data["temperature"] = options.formula.temperature;
  context->saved_data["eps"] = options.formula.eps;
}

std::pair<const Loss*, Options> saved(const AutogradContext* context) {
  const auto& data = context->saved_data;
  const auto& values = data.at("values").toTupleRef().elements();
  return {reinterpret_cast<const Loss*>(data.at("loss").toInt()),
          {std::vector<c10::IValue>(values.begin(), values.end()),
           {data.at("reduction").toInt(), data.at("candidates").toInt(),
            data.at("temperature").toDouble(), data.at("eps").toDouble()}}};
}

// The first derivative. Its own backward pass differentiates the plain formula.
class Gradient : public torch::autograd::Function<Gradient> {
 public:
  // tensors: the gradients of the losses, the inputs, the residuals.
  static Tensor forward(AutogradContext* context, at::TensorList tensors, const Loss* loss,
                        const Options& options) {
    torch::jit::Stack arguments(tensors.begin(), tensors.end());
    arguments.insert(arguments.end(), options.values.begin(), options.values.end());
    context->save_for_backward(tensors.vec());
    save(context, loss, options);
    return call(loss->name + std::string("_backward"), std::move(arguments))[0];
  }

  static variable_list backward(AutogradContext* context, const variable_list& vectors) {
    const auto [loss, options] = saved(context);
    variable_list tensors = context->get_saved_variables();
    const bool is_differentiated_again = at::GradMode::is_enabled();
    const at::AutoGradMode enable(true);
    const auto grads = static_cast<std::size_t>(loss->losses),
               last = grads + static_cast<std::size_t>(loss->inputs) - 1;
    variable_list wanted;
    for (std::size_t i = 0; i <= last; ++i) {
      if (i >= grads && i != last) continue;
      if (!is_differentiated_again || !tensors[i].requires_grad())
        tensors[i] = tensors[i].detach().requires_grad_();
      wanted.push_back(tensors[i]);
    }
    const variable_list inputs(tensors.begin() + loss->losses,
                               tensors.begin() + loss->losses + loss->inputs);
    const variable_list residuals(tensors.begin() + loss->losses + loss->inputs, tensors.end());
    const variable_list losses = loss->formula(inputs, residuals, options.formula);
    const variable_list grad_outputs(tensors.begin(), tensors.begin() + loss->losses);
    const Tensor gradient =
        torch::autograd::grad(losses, {tensors[last]}, grad_outputs, true, true)[0];
    const variable_list products = torch::autograd::grad(
        {gradient}, wanted, {vectors[0]}, is_differentiated_again, is_differentiated_again, true);
    variable_list results(tensors.size() + 2);
    for (std::size_t i = 0; i < grads; ++i) results[i] = products[i];
    results[last] = products.back();
    return results;
  }
};

// The losses, and the other results, which have no gradient.
class Losses : public torch::autograd::Function<Losses> {
 public:
  static variable_list forward(AutogradContext* context, at::TensorList inputs,
                               const std::optional<Tensor>& matching, const Loss* loss,
                               const Options& options, NonFinite on_nonfinite) {
    torch::jit::Stack arguments(inputs.begin(), inputs.end());
    if (loss->takes_matching) arguments.emplace_back(matching);
    arguments.insert(arguments.end(), options.values.begin(), options.values.end());
    arguments.emplace_back(static_cast<std::int64_t>(on_nonfinite));
    const variable_list results = call(loss->name, std::move(arguments));
    variable_list tensors = inputs.vec();
    for (const int i : loss->residuals) tensors.push_back(results[static_cast<std::size_t>(i)]);
    context->save_for_backward(tensors);
    save(context, loss, options);
    context->mark_non_differentiable({results.begin() + loss->losses, results.end()});
    return results;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const auto [loss, options] = saved(context);
    const auto last = static_cast<std::size_t>(loss->inputs) - 1;
    variable_list results(last + 5);
    const auto losses = static_cast<std::size_t>(loss->losses);
    const auto known = std::find_if(grads.begin(), grads.begin() + loss->losses,
                                    [](const Tensor& grad) { return grad.defined(); });
    if (known == grads.begin() + loss->losses || !context->needs_input_grad(last)) return results;
    variable_list tensors;
    for (std::size_t i = 0; i < losses; ++i)
      tensors.push_back(grads[i].defined() ? grads[i] : torch::zeros_like(*known));
    const variable_list saved_tensors = context->get_saved_variables();
    tensors.insert(tensors.end(), saved_tensors.begin(), saved_tensors.end());
    results[last] = Gradient::apply(at::TensorList(tensors), loss, options);
    return results;
  }
};

void check(const char* name, const Tensor& tensor, bool accepts_integers = false) {
  TORCH_CHECK_VALUE(tensor.defined(), name, " is an undefined tensor");
  const auto dtype = tensor.scalar_type();
  const bool is_read = dtype == torch::kDouble || dtype == torch::kFloat || dtype == torch::kHalf ||
                       dtype == torch::kBFloat16;
  TORCH_CHECK_TYPE(is_read || (accepts_integers && !tensor.is_complex() && !tensor.is_quantized()),
                   name, " is ", dtype, "; wanted ",
                   accepts_integers ? "real numbers" : "float64, float32, float16 or bfloat16");
  TORCH_CHECK_VALUE(tensor.is_cpu() && tensor.layout() == torch::kStrided, name, " is a ",
                    tensor.layout(), " tensor on ", tensor.device(),
                    "; wanted a dense one on the CPU");
}

variable_list losses_of(const Loss& loss, std::vector<Tensor> inputs, const Options& options,
                        NonFinite on_nonfinite = NonFinite::propagate,
                        const std::optional<Tensor>& matching = std::nullopt) {
  if (at::autocast::is_autocast_enabled(at::kCPU)) {
    for (Tensor& input : inputs)
      if (input.scalar_type() != torch::kDouble) input = input.to(torch::kFloat);
  }
  TORCH_CHECK_TYPE(inputs.front().scalar_type() == inputs.back().scalar_type(), "the inputs are ",
                   inputs.front().scalar_type(), " and ", inputs.back().scalar_type(),
                   "; wanted the same dtype");
  return Losses::apply(at::TensorList(inputs), matching, &loss, options, on_nonfinite);
}

// Features of whole images [2B, C] as slots of one each.
Tensor as_slots(const char* name, const Tensor& features) {
  check(name, features);
  TORCH_CHECK_VALUE(features.dim() == 2 && features.size(0) % 2 == 0, name, " has shape ",
                    features.sizes(),
                    "; wanted [2B, C], in which rows i and i + B are the views of image i");
  return features.unsqueeze(1);
}

std::int64_t code(Reduction reduction) { return static_cast<std::int64_t>(reduction); }

variable_list contrastive_losses(const Tensor& slots, std::int64_t candidates, double temperature,
                                 Reduction reduction,
                                 const std::optional<Tensor>& matching = std::nullopt) {
  constexpr double kEps = 1e-10;
  return losses_of(kContrastive, {slots},
                   {{candidates, temperature, code(reduction), kEps},
                    {code(reduction), candidates, temperature, kEps}},
                   NonFinite::propagate, matching);
}

}  // namespace

Tensor matching_similarity_loss_per_img(const Tensor& f, const Tensor& p, Reduction reduction,
                                        double eps, NonFinite on_nonfinite) {
  check("f", f);
  check("p", p);
  return losses_of(kSimilarity, {f.detach(), p},
                   {{code(reduction), eps}, {code(reduction), 0, 1, eps}}, on_nonfinite)[0];
}

Tensor matching_contrastive_loss(const Tensor& slots, double temperature, Reduction reduction) {
  check("slots", slots);
  return contrastive_losses(slots, OSC_CANDIDATES_BATCH, temperature, reduction)[0];
}

Tensor matching_contrastive_loss(const Tensor& slots, const Tensor& matching, double temperature,
                                 Reduction reduction) {
  check("slots", slots);
  TORCH_CHECK_VALUE(matching.defined(), "matching is an undefined tensor");
  TORCH_CHECK_TYPE(matching.scalar_type() == torch::kLong, "matching is ", matching.scalar_type(),
                   "; wanted int64");
  TORCH_CHECK_VALUE(matching.is_cpu(), "matching is on ", matching.device(), "; wanted the CPU");
  return contrastive_losses(slots, OSC_CANDIDATES_BATCH, temperature, reduction, matching)[0];
}

Tensor matching_contrastive_loss_per_img(const Tensor& slots, double temperature,
                                         Reduction reduction) {
  check("slots", slots);
  return contrastive_losses(slots, OSC_CANDIDATES_IMAGE, temperature, reduction)[0];
}

std::tuple<Tensor, Tensor> matching_similarity_loss_small_to_large(const Tensor& f_large,
                                                                   const Tensor& p_small,
                                                                   Reduction reduction) {
  check("f_large", f_large);
  check("p_small", p_small);
  constexpr double kEps = 1e-10;
  const variable_list results = losses_of(kSmallToLarge, {f_large.detach(), p_small},
                                          {{code(reduction), kEps}, {code(reduction), 0, 1, kEps}});
  return {results[0], results[2]};
}

Tensor cosine_sim_loss(const Tensor& feats, const Tensor& projs, Reduction reduction) {
  return matching_similarity_loss_per_img(as_slots("feats", feats), as_slots("projs", projs),
                                          reduction);
}

std::tuple<Tensor, Tensor> contrastive_loss(const Tensor& projs, double temperature,
                                            Reduction reduction) {
  const variable_list results =
      contrastive_losses(as_slots("projs", projs), OSC_CANDIDATES_BATCH, temperature, reduction);
  return {results[0], results[3]};
}

std::tuple<Tensor, Tensor> variance_covariance_loss(const Tensor& x) {
  check("x", x);
  const variable_list results = losses_of(kVarianceCovariance, {x}, {});
  return {results[0], results[1]};
}

std::tuple<Tensor, Tensor> linear_sum_assignment(const Tensor& cost, bool maximize,
                                                 OnUnsolvable on_unsolvable) {
  check("cost", cost, /*accepts_integers=*/true);
  const std::vector<Tensor> results = call(
      "linear_sum_assignment", {cost.detach(), maximize, static_cast<std::int64_t>(on_unsolvable)});
  return {results[0], results[1]};
}

Tensor match_slots(const Tensor& f, double eps, NonFinite on_nonfinite) {
  check("f", f);
  return call("match_slots", {f.detach(), eps, static_cast<std::int64_t>(on_nonfinite)})[0];
}

}  // namespace osc::libtorch
