// The instruction set is one for the whole of a call, whoever forces another meanwhile; and memory
// that was sized for one is never overrun by another. Of every loss and of the solver.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <mutex>
#include <new>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "elements.hpp"
#include "guarded.hpp"
#include "osc/assignment.hpp"
#include "osc/contrastive_loss.hpp"
#include "osc/loss_objects.hpp"
#include "osc/small_to_large_loss.hpp"
#include "osc/variance_covariance_loss.hpp"

namespace osc {
namespace {

// All that a call writes, one array after another.
class Results {
 public:
  static constexpr char kUntouched = 0x5a;
  Results() : bytes_(std::size_t{1} << 14, kUntouched) {}

  template <typename T>
  T* take(std::int64_t count) {
    T* const array = reinterpret_cast<T*>(bytes_.data() + used_);
    used_ += (static_cast<std::size_t>(count) * sizeof(T) + 7) / 8 * 8;
    if (used_ > bytes_.size()) throw std::bad_alloc();
    return array;
  }
  bool is_untouched() const {
    return std::count(bytes_.begin(), bytes_.end(), kUntouched) == std::ssize(bytes_);
  }
  bool operator==(const Results& other) const { return bytes_ == other.bytes_; }

 private:
  std::vector<char> bytes_;
  std::size_t used_ = 0;
};

// One way to call the library.
struct Operation {
  const char* name;
  std::function<std::size_t(int threads)> workspace;
  std::function<Status(Executor*, Workspace*, Results&)> run;
};

template <typename T>
std::vector<T> random_elements(std::int64_t count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::vector<T> result(count);
  for (T& value : result) value = element<T>(normal(random));
  return result;
}

// The calls on some inputs. Nine slots take memory that differs between vectors of 128, 256 and 512
// bits.
template <typename T>
class Calls {
  static constexpr std::int64_t kB = 2, kS = 9, kC = 3, kLosses = 2 * kB * kS, kRanks = 2;
  static constexpr std::array<std::int64_t, 3> kShape = {2 * kB, kS, kC};
  static constexpr std::int64_t kLarge = 2, kSmall = 3;  // crops, of kS slots each
  static constexpr std::int64_t kPairs = kB * kLarge * kSmall;
  static constexpr std::int64_t kG = 3, kN = 9, kD = 35;

 public:
  Calls()
      : f_(random_elements<T>(kLosses * kC, 1)),
        p_(random_elements<T>(kLosses * kC, 2)),
        gathered_(random_elements<T>(kRanks * kLosses * kC, 3)),
        large_(random_elements<T>(kB * kLarge * kS * kC, 4)),
        small_(random_elements<T>(kB * kSmall * kS * kC, 5)),
        samples_(random_elements<T>(kG * kN * kD, 6)),
        costs_(random_elements<T>(kB * kS * (kS + 4), 7)),
        matching_(kB * kS),
        gathered_matching_(kB * kS),
        crops_matching_(kPairs * kS),
        log_sums_(kLosses) {
    matching_contrastive_loss(f(), {},
                              {.matching = matching_.data(), .log_sums = log_sums_.data()});
    for (std::int64_t rank = kRanks - 1; rank >= 0; --rank) {
      std::vector<double> of_rank(kLosses);
      matching_contrastive_loss(
          ranks(rank), {}, {.matching = gathered_matching_.data(), .log_sums = of_rank.data()});
      gathered_log_sums_.insert(gathered_log_sums_.begin(), of_rank.begin(), of_rank.end());
    }
    matching_similarity_loss_small_to_large(large(), small(), {},
                                            {.matching = crops_matching_.data()});
  }

  std::vector<Operation> operations() const {
    const auto similarity_workspace = [](int threads) {
      return matching_similarity_workspace<T>(kB, kS, kC, threads);
    };
    const auto contrastive_workspace = [](Candidates candidates, std::int64_t ranks) {
      return [=](int threads) {
        return matching_contrastive_workspace<T>(kB, kS, kC, ranks, candidates, threads);
      };
    };
    const auto crops_workspace = [](int threads) {
      return small_to_large_workspace<T>(kB, kLarge, kS, kSmall, kS, kC, threads);
    };
    return {
        {"similarity loss", similarity_workspace,
         [this](Executor* executor, Workspace* workspace, Results& results) {
           return try_matching_similarity_loss_per_img(
               f(), p(), {.executor = executor, .workspace = workspace},
               {.loss = results.take<T>(1),
                .gradient = SimilarityGradient<T>{slots(results)},
                .matching = results.take<std::int64_t>(kB * kS),
                .statuses = results.take<ImageStatus>(kB)});
         }},
        {"similarity loss backward", similarity_workspace,
         [this](Executor* executor, Workspace* workspace, Results& results) {
           return try_matching_similarity_loss_per_img_backward(
               f(), p(), matching_.data(), {.executor = executor, .workspace = workspace},
               {slots(results)});
         }},
        {"match_slots", similarity_workspace,
         [this](Executor* executor, Workspace* workspace, Results& results) {
           return try_match_slots(
               f(), {results.take<std::int64_t>(kB * kS), results.take<ImageStatus>(kB)},
               {.on_nonfinite = NonFinite::raise, .executor = executor, .workspace = workspace});
         }},
        contrastive("contrastive loss of the batch", Candidates::batch, contrastive_workspace),
        contrastive("contrastive loss of images", Candidates::image, contrastive_workspace),
        {"contrastive loss backward", contrastive_workspace(Candidates::batch, 1),
         [this](Executor* executor, Workspace* workspace, Results& results) {
           return try_matching_contrastive_loss_backward(
               f(), matching_.data(), log_sums_.data(),
               {.executor = executor, .workspace = workspace}, {slots(results)});
         }},
        {"contrastive loss of ranks", contrastive_workspace(Candidates::batch, kRanks),
         [this](Executor* executor, Workspace* workspace, Results& results) {
           return try_matching_contrastive_loss(ranks(1),
                                                {.executor = executor, .workspace = workspace},
                                                {.loss = results.take<T>(1),
                                                 .matching = results.take<std::int64_t>(kB * kS),
                                                 .log_sums = results.take<double>(kLosses),
                                                 .accuracy = results.take<double>(1)});
         }},
        {"contrastive loss of ranks backward", contrastive_workspace(Candidates::batch, kRanks),
         [this](Executor* executor, Workspace* workspace, Results& results) {
           return try_matching_contrastive_loss_backward(
               ranks(0), gathered_matching_.data(), gathered_log_sums_.data(),
               {.executor = executor, .workspace = workspace}, {slots(results)});
         }},
        {"loss of crops", crops_workspace,
         [this](Executor* executor, Workspace* workspace, Results& results) {
           return try_matching_similarity_loss_small_to_large(
               large(), small(), {.executor = executor, .workspace = workspace},
               {.loss = results.take<T>(1),
                .counted_ratio = results.take<double>(1),
                .gradient = SmallToLargeGradient<T>{crops(results)},
                .statuses = results.take<ImageStatus>(kB)});
         }},
        {"loss of crops backward", crops_workspace,
         [this](Executor* executor, Workspace* workspace, Results& results) {
           return try_matching_similarity_loss_small_to_large_backward(
               large(), small(), crops_matching_.data(),
               {.executor = executor, .workspace = workspace}, {crops(results)});
         }},
        {"variance and covariance",
         [](int threads) { return variance_covariance_workspace<T>(kG, kN, kD, threads); },
         [this](Executor* executor, Workspace* workspace, Results& results) {
           return try_variance_covariance_loss(
               contiguous_samples(samples_.data(), kG, kN, kD),
               {.executor = executor, .workspace = workspace},
               {.variance = results.take<T>(1),
                .covariance = results.take<T>(1),
                .gradient = VarianceCovarianceGradient<T>{
                    contiguous_samples(results.take<T>(kG * kN * kD), kG, kN, kD)}});
         }},
        {"linear_sum_assignment",
         [this](int threads) { return linear_sum_assignment_workspace(costs(), threads); },
         [this](Executor* executor, Workspace* workspace, Results& results) {
           return try_linear_sum_assignment(
               costs(),
               {results.take<std::int64_t>(kB * kS), results.take<std::int64_t>(kB * (kS + 4)),
                results.take<AssignmentStatus>(kB)},
               {.executor = executor, .workspace = workspace});
         }},
    };
  }

 private:
  template <typename WorkspaceOf>
  Operation contrastive(const char* name, Candidates candidates,
                        const WorkspaceOf& workspace_of) const {
    return {name, workspace_of(candidates, 1),
            [this, candidates](Executor* executor, Workspace* workspace, Results& results) {
              return try_matching_contrastive_loss(
                  f(), {.candidates = candidates, .executor = executor, .workspace = workspace},
                  {.loss = results.take<T>(1),
                   .gradient = ContrastiveGradient<T>{slots(results)},
                   .matching = results.take<std::int64_t>(kB * kS),
                   .log_sums = results.take<double>(kLosses),
                   .accuracy = results.take<double>(1),
                   .statuses = results.take<ImageStatus>(kB)});
            }};
  }

  SlotPairs<const T> f() const { return view_major_slots(f_.data(), kShape); }
  SlotPairs<const T> p() const { return view_major_slots(p_.data(), kShape); }
  GatheredSlots<T> ranks(std::int64_t rank) const {
    return {gathered_.data(), kRanks, rank, kB, kS, kC};
  }
  SlotCrops<const T> large() const { return contiguous_crops(large_.data(), kB, kLarge, kS, kC); }
  SlotCrops<const T> small() const { return contiguous_crops(small_.data(), kB, kSmall, kS, kC); }
  CostMatrices<T> costs() const { return contiguous_costs(costs_.data(), kB, kS, kS + 4); }
  static SlotPairs<T> slots(Results& results) {
    return view_major_slots(results.take<T>(kLosses * kC), kShape);
  }
  static SlotCrops<T> crops(Results& results) {
    return contiguous_crops(results.take<T>(kB * kSmall * kS * kC), kB, kSmall, kS, kC);
  }

  std::vector<T> f_, p_, gathered_, large_, small_, samples_, costs_;
  std::vector<std::int64_t> matching_, gathered_matching_, crops_matching_;
  std::vector<double> log_sums_, gathered_log_sums_;
};

// Whether the set stays that one thread forces while another asks for the first time: in a process
// of its own, since only the first time counts.
bool stays_in_a_fresh_process() {
  const pid_t child = fork();
  if (child == 0) {
    const char* const baseline = "x86-64";
    std::thread asks([] { static_cast<void>(instruction_set()); });
    const bool forced = try_set_instruction_set(baseline).ok();
    asks.join();
    _exit(forced && std::strcmp(instruction_set(), baseline) != 0 ? 1 : 0);
  }
  int result = 1;
  return waitpid(child, &result, 0) == child && result == 0;
}

// The first test of this program: the ones after it ask in this process.
TEST(ForcedInstructionSet, StaysThoughAnotherThreadAsksForTheFirstTime) {
  for (int repeat = 0; repeat < 100; ++repeat) EXPECT_TRUE(stays_in_a_fresh_process()) << repeat;
}

template <typename T>
class InstructionSet : public ::testing::Test {};
using Types = ::testing::Types<double, float, float16, bfloat16>;
TYPED_TEST_SUITE(InstructionSet, Types);

TYPED_TEST(InstructionSet, IsOneForTheWholeOfACallWhoeverForcesAnother) {
  const Calls<TypeParam> calls;
  const std::vector<Operation> operations = calls.operations();
  std::vector<const char*> names;
  std::vector<std::vector<Results>> expected;  // of each set, of each operation
  for (auto& [name, results] : on_every_instruction_set([&] {
         std::vector<Results> of_set(operations.size());
         for (std::size_t i = 0; i < operations.size(); ++i) {
           const Status status = operations[i].run(nullptr, nullptr, of_set[i]);
           EXPECT_TRUE(status.ok()) << operations[i].name << ": " << status.text();
         }
         return of_set;
       })) {
    names.push_back(name);
    expected.push_back(std::move(results));
  }
  const char* const before = instruction_set();

  std::atomic<bool> done = false;
  std::thread forces([&] {
    for (std::size_t i = 0; !done; ++i) set_instruction_set(names[i % names.size()]);
  });
  ThreadPool pool(2);
  std::mutex mutex;
  std::vector<std::string> wrong;
  const auto compute = [&] {
    Workspace workspace;
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(300);
    while (std::chrono::steady_clock::now() < end) {
      for (std::size_t i = 0; i < operations.size(); ++i) {
        Results results;
        const Status status = operations[i].run(&pool, i % 2 == 0 ? &workspace : nullptr, results);
        const bool is_known = std::any_of(expected.begin(), expected.end(),
                                          [&](const auto& set) { return results == set[i]; });
        if (status.ok() && is_known) continue;
        const std::lock_guard lock(mutex);
        wrong.push_back(std::string(operations[i].name) + ": " +
                        (status.ok() ? "the results are no set's" : status.text()));
      }
    }
  };
  std::thread other(compute);
  compute();
  other.join();
  done = true;
  forces.join();
  set_instruction_set(before);
  EXPECT_TRUE(wrong.empty()) << wrong.size() << " calls, the first: " << wrong[0];
}

// Sized under one set and used under another, by pointer: enough, or an error before anything is
// written; and a Workspace that grows does.
TYPED_TEST(InstructionSet, AWorkspaceSizedForAnotherIsEnoughOrAnError) {
  const Calls<TypeParam> calls;
  ThreadPool one(1);
  CaseOnFault fault;
  for (const Operation& operation : calls.operations()) {
    for (const auto& [sized_for, bytes] :
         on_every_instruction_set([&] { return operation.workspace(1); })) {
      on_every_instruction_set([&, bytes = bytes] {
        SCOPED_TRACE(::testing::Message() << operation.name << ", sized for " << sized_for
                                          << ", used on " << instruction_set());
        fault.set("%s", operation.name);
        Results expected, results, grown;
        EXPECT_TRUE(operation.run(&one, nullptr, expected).ok());
        for (const Guard guard : {Guard::behind, Guard::before}) {
          const Guarded<char> memory(bytes, guard, 0);
          Workspace workspace(memory.data(), memory.size());
          Results of_guard;
          const Status status = operation.run(&one, &workspace, of_guard);
          if (status.ok()) {
            EXPECT_EQ(of_guard, expected);
          } else {
            EXPECT_EQ(status.code(), StatusCode::out_of_memory) << status.text();
            EXPECT_TRUE(of_guard.is_untouched());
          }
        }
        Workspace workspace;
        EXPECT_NE(workspace.reserve(bytes), nullptr);
        EXPECT_TRUE(operation.run(&one, &workspace, grown).ok());
        EXPECT_EQ(grown, expected);
        return 0;
      });
    }
  }
}

TYPED_TEST(InstructionSet, AWorkspaceThatIsTooSmallIsAnErrorBeforeAnythingIsWritten) {
  const Calls<TypeParam> calls;
  ThreadPool one(1);
  CaseOnFault fault;
  on_every_instruction_set([&] {
    for (const Operation& operation : calls.operations()) {
      SCOPED_TRACE(::testing::Message() << operation.name << " on " << instruction_set());
      fault.set("%s", operation.name);
      const std::size_t enough = operation.workspace(1);
      bool was_refused = false;
      for (std::size_t bytes = 0; bytes < enough; bytes += 1 + enough / 97) {
        const Guarded<char> memory(bytes, Guard::behind, 0);
        Workspace workspace(memory.data(), memory.size());
        Results results;
        const Status status = operation.run(&one, &workspace, results);
        if (status.ok()) continue;  // less than what any call of these sizes may need
        was_refused = true;
        EXPECT_EQ(status.code(), StatusCode::out_of_memory) << status.text();
        EXPECT_TRUE(results.is_untouched()) << bytes << " bytes of " << enough;
      }
      EXPECT_TRUE(was_refused);
    }
    return 0;
  });
}

}  // namespace
}  // namespace osc
