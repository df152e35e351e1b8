#include <charconv>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "commands/commands.hpp"
#include "data/npy.hpp"
#include "osc/similarity_loss.hpp"
#include "support/error.hpp"
#include "support/files.hpp"

namespace osc::program {
namespace {

struct LossFlags {
  std::string f, p, reduction = "mean", grad, match, on_nonfinite = "propagate";
  double eps = 1e-10;
  bool json = false;
};

std::string array_text(const NpyArray& array) {
  return shape_text(array.shape) + (array.values.index() == 0 ? " float32" : " float64");
}

// The shortest digits that read back as the same number.
template <typename T>
std::string number_text(T x) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, x).ptr};
}

// An array without channels holds no values, so that a file of 128 bytes may claim any number of
// slots. This bounds the S² cosines of B images.
void check_work_without_values(const NpyArray& f, const std::string& path) {
  constexpr std::int64_t kMostCosines = 1'000'000;
  const std::int64_t images = f.shape[0] / 2, slots = f.shape[1];
  if (f.shape[2] != 0 || slots == 0 || images <= kMostCosines / slots / slots) return;
  throw UserError(path + " is " + array_text(f) + ", with no values and more than " +
                  std::to_string(kMostCosines) +
                  " pairs of slots; wanted channels, or fewer slots");
}

template <typename T>
void compute(const LossFlags& flags, const NpyArray& f, const NpyArray& p) {
  const std::int64_t shape[] = {f.shape[0], f.shape[1], f.shape[2]}, images = shape[0] / 2;
  const auto& f_values = std::get<std::vector<T>>(f.values);
  const auto& p_values = std::get<std::vector<T>>(p.values);

  SimilarityLossOptions options;
  options.reduction = reduction_from_name(flags.reduction);
  options.eps = flags.eps;
  options.on_nonfinite = flags.on_nonfinite == "raise" ? NonFinite::raise : NonFinite::propagate;
  const bool vector = options.reduction == Reduction::none;
  std::vector<T> loss(static_cast<std::size_t>(vector ? shape[0] * shape[1] : 1));
  std::vector<T> gradient(flags.grad.empty() ? 0 : p_values.size());
  std::vector<std::int64_t> matching(static_cast<std::size_t>(images * shape[1]));
  SimilarityLossResults<T> results;
  results.loss = loss.data();
  if (!flags.grad.empty()) results.grad_p = view_major(gradient.data(), shape);
  results.matching = matching.data();
  matching_similarity_loss_per_img(view_major(f_values.data(), shape),
                                   view_major(p_values.data(), shape), options, results);

  if (!flags.grad.empty())
    write_file_atomically(flags.grad, encode_npy(f.shape, std::span<const T>(gradient)));
  if (!flags.match.empty()) {
    const std::int64_t match_shape[] = {images, shape[1]};
    write_file_atomically(flags.match,
                          encode_npy(match_shape, std::span<const std::int64_t>(matching)));
  }
  if (flags.json) {
    nlohmann::ordered_json json;
    if (vector)
      json["loss"] = loss;
    else
      json["loss"] = loss[0];
    json["images"] = images;
    json["slots"] = shape[1];
    json["channels"] = shape[2];
    std::printf("%s\n", json.dump().c_str());
  } else {
    for (T x : loss) std::printf("%s\n", number_text(x).c_str());
  }
}

void loss(const LossFlags& flags) {
  std::vector<Output> outputs;
  if (!flags.grad.empty()) outputs.push_back({"--grad " + flags.grad, flags.grad});
  if (!flags.match.empty()) outputs.push_back({"--match " + flags.match, flags.match});
  check_outputs(outputs, {flags.f, flags.p});
  const NpyArray f = read_npy(flags.f);
  const NpyArray p = read_npy(flags.p);
  if (f.shape.size() != 3)
    throw UserError(flags.f + " is " + array_text(f) + ", wanted three dimensions [2B, S, C]");
  if (f.shape != p.shape || f.values.index() != p.values.index()) {
    throw UserError(flags.f + " is " + array_text(f) + " and " + flags.p + " is " + array_text(p) +
                    ", wanted the same shape and dtype");
  }
  check_work_without_values(f, flags.f);
  if (std::holds_alternative<std::vector<float>>(f.values))
    compute<float>(flags, f, p);
  else
    compute<double>(flags, f, p);
}

}  // namespace

void add_loss_command(CLI::App& program) {
  CLI::App* command = program.add_subcommand(
      "loss", "Compute the matching similarity loss of two arrays [2B, S, C]");
  const auto flags = std::make_shared<LossFlags>();
  command
      ->add_option("F", flags->f,
                   ".npy file, float32 or float64: slots before the projection head; rows i and i "
                   "+ B are views of image i")
      ->required();
  command->add_option("P", flags->p, ".npy file of the same shape and dtype: slots after it")
      ->required();
  command->add_option("--reduction", flags->reduction, "mean, sum or none [mean]");
  command->add_option("--eps", flags->eps, "the floor of a norm [1e-10]");
  command->add_option("--on-nonfinite", flags->on_nonfinite, "propagate or raise [propagate]")
      ->check(CLI::IsMember({"propagate", "raise"}));
  command->add_option("--grad", flags->grad, "write the gradient with respect to P here, as .npy");
  command->add_option("--match", flags->match,
                      "write the matching here, as .npy int64 [B, S]: slot s of view 0 is matched "
                      "to slot match[i, s] of view 1");
  command->add_flag("--json", flags->json,
                    "print one JSON object with loss, images, slots and channels; a loss that is "
                    "not a number is null");
  command->callback([flags] { loss(*flags); });
}

}  // namespace osc::program
