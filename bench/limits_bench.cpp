// How far the similarity loss with its gradient is from what the machine allows: limits_bench
// OUTPUT.json. The variants of a comparison take turns, so that other load on the machine slows all
// of them. bench/run.py calls it.
//
//   floor     against a loop that reads f and p and writes one tensor of their size, on as many
//             threads; tensors that no cache holds
//   batch     time an image, from 64 to 16384 images
//   threads   all cores against one
//   bits      16-bit inputs against float32
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "osc/similarity_loss.hpp"
#include "osc/system.hpp"
#include "slots.hpp"

namespace {

using osc::bench::Slots;
using Clock = std::chrono::steady_clock;

struct Way {
  std::string name;
  std::function<void()> run;
  std::vector<double> microseconds = {};

  double percentile(double part) const {
    return microseconds[static_cast<std::size_t>(part *
                                                 static_cast<double>(microseconds.size() - 1))];
  }
};

// Runs the variants by turns, for some time, and sorts their times. A turn is some calls. The first
// does not count, since it finds the caches as another variant left them.
void take_turns(std::vector<Way>& ways) {
  constexpr double kSeconds = 1, kTurnSeconds = 0.003;
  constexpr std::size_t kLeastTurns = 7;
  const auto start = Clock::now();
  const auto seconds_since = [](Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
  };
  while (seconds_since(start) < kSeconds || ways[0].microseconds.size() < kLeastTurns) {
    for (Way& way : ways) {
      way.run();
      const auto turn = Clock::now();
      do {
        const auto begin = Clock::now();
        way.run();
        way.microseconds.push_back(1e6 * seconds_since(begin));
      } while (seconds_since(turn) < kTurnSeconds);
    }
  }
  for (Way& way : ways) std::sort(way.microseconds.begin(), way.microseconds.end());
}

// The values of a vector from an aligned address on, as those of PyTorch's tensors are.
template <typename T>
class Aligned {
 public:
  explicit Aligned(std::size_t size)
      : values_(size + kAlignment),
        first_(kAlignment -
               reinterpret_cast<std::uintptr_t>(values_.data()) / sizeof(T) % kAlignment),
        size_(size) {}
  explicit Aligned(const std::vector<T>& from) : Aligned(from.size()) {
    std::copy(from.begin(), from.end(), data());
  }
  T* data() { return values_.data() + first_; }
  std::size_t size() const { return size_; }

 private:
  static constexpr std::size_t kAlignment = 64 / sizeof(T);
  std::vector<T> values_;
  std::size_t first_, size_;
};

// Slots with room for a gradient, of trained slots.
template <typename T>
class Problem {
 public:
  Problem(std::int64_t images, std::int64_t slots, std::int64_t channels)
      : shape_{2 * images, slots, channels},
        f_(osc::bench::slots_of<T>(Slots::trained, images, slots, channels)),
        p_(f_.size()),
        gradient_(f_.size()) {
    std::copy_n(f_.data(), f_.size(), p_.data());
    std::reverse(p_.data(), p_.data() + p_.size());  // unrelated to f
  }

  void run(osc::Executor& executor) {
    osc::matching_similarity_loss_per_img(
        osc::view_major(f_.data(), shape_), osc::view_major(p_.data(), shape_),
        {.executor = &executor, .workspace = &workspace_},
        {.loss = &loss_, .grad_p = osc::view_major(gradient_.data(), shape_)});
  }

  // Reads both and writes one: a lower bound of the time.
  void run_floor(osc::Executor& executor) {
    executor.parallel_for(static_cast<std::int64_t>(f_.size()), 1,
                          [&](std::int64_t begin, std::int64_t end) {
                            const T* const f = f_.data();
                            const T* const p = p_.data();
                            T* const gradient = gradient_.data();
                            for (std::int64_t i = begin; i < end; ++i) gradient[i] = f[i] + p[i];
                          });
  }

 private:
  std::int64_t shape_[3];
  Aligned<T> f_, p_, gradient_;
  osc::Workspace workspace_;
  T loss_{};
};

nlohmann::json results = nlohmann::json::array();

void report(const char* question, const std::string& sizes, const std::vector<Way>& ways) {
  std::printf("%-8s %-22s", question, sizes.c_str());
  for (const Way& way : ways) {
    std::printf("  %s %.0f %.0f %.0f", way.name.c_str(), way.percentile(0), way.percentile(0.5),
                way.percentile(1));
    results.push_back({{"question", question},
                       {"sizes", sizes},
                       {"way", way.name},
                       {"microseconds",
                        {{"minimum", way.percentile(0)},
                         {"median", way.percentile(0.5)},
                         {"maximum", way.percentile(1)}}}});
  }
  for (std::size_t i = 1; i < ways.size(); ++i)
    std::printf("   %s / %s %.2f", ways[0].name.c_str(), ways[i].name.c_str(),
                ways[0].percentile(0.5) / ways[i].percentile(0.5));
  std::printf("\n");
  std::fflush(stdout);
}

std::string name_of(std::int64_t images, std::int64_t slots, std::int64_t channels) {
  return "(" + std::to_string(images) + ", " + std::to_string(slots) + ", " +
         std::to_string(channels) + ")";
}

constexpr std::array<std::int64_t, 3> kSizes[] = {{64, 7, 64},    {64, 11, 64},   {64, 11, 256},
                                                  {256, 16, 256}, {1024, 11, 64}, {64, 64, 256}};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return std::fprintf(stderr, "usage: limits_bench OUTPUT.json\n"), 2;
  const int cores = osc::available_cores();
  osc::ThreadPool one(1), all(cores);
  std::printf(
      "similarity loss and gradient, trained slots, %s, %d cores: minimum, median and maximum "
      "microseconds, and ratios of medians\n",
      osc::instruction_set(), cores);
  for (const auto& [images, slots, channels] :
       {std::array<std::int64_t, 3>{16384, 11, 256}, {65536, 11, 64}, {16384, 16, 128}}) {
    Problem<float> problem(images, slots, channels);
    for (osc::ThreadPool* pool : {&one, &all}) {
      std::vector<Way> ways = {{"osc", [&] { problem.run(*pool); }},
                               {"floor", [&] { problem.run_floor(*pool); }}};
      take_turns(ways);
      report(pool == &one ? "floor, 1" : "floor", name_of(images, slots, channels), ways);
    }
  }
  for (std::int64_t images = 64; images <= 16384; images *= 4) {
    Problem<float> problem(images, 11, 64);
    std::vector<Way> ways = {{"osc", [&] { problem.run(all); }}};
    take_turns(ways);
    for (double& x : ways[0].microseconds) x *= 1000 / static_cast<double>(images);
    ways[0].name = "ns an image";
    report("batch", name_of(images, 11, 64), ways);
  }
  for (const auto& [images, slots, channels] : kSizes) {
    Problem<float> problem(images, slots, channels);
    std::vector<Way> ways = {{"one", [&] { problem.run(one); }},
                             {"all", [&] { problem.run(all); }}};
    take_turns(ways);
    report("threads", name_of(images, slots, channels), ways);
  }
  for (const auto& [images, slots, channels] : kSizes) {
    Problem<float> single(images, slots, channels);
    Problem<osc::float16> half(images, slots, channels);
    Problem<osc::bfloat16> brain(images, slots, channels);
    std::vector<Way> ways = {{"float32", [&] { single.run(all); }},
                             {"float16", [&] { half.run(all); }},
                             {"bfloat16", [&] { brain.run(all); }}};
    take_turns(ways);
    report("bits", name_of(images, slots, channels), ways);
  }
  std::ofstream(argv[1]) << nlohmann::json{{"instruction_set", osc::instruction_set()},
                                           {"cores", cores},
                                           {"results", results}}
                                .dump(1)
                         << "\n";
  return 0;
}
