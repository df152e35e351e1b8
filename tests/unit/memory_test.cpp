// Where the kernels read and write: nothing beyond what they are given, whatever the sizes; from
// any address that an element may have; and f and p may be the same memory.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <span>
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

using Indices = std::vector<std::int64_t>;

template <typename T>
std::vector<T> random_elements(std::int64_t count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::vector<T> result(count);
  for (T& value : result) value = element<T>(normal(random));
  return result;
}

// What one call gives, in memory of its own.
template <typename T>
struct Outcome {
  std::vector<T> loss, gradient;
  Indices matching;
  bool operator==(const Outcome& other) const {
    return same_bits<T>(loss, other.loss) && same_bits<T>(gradient, other.gradient) &&
           matching == other.matching;
  }
};

template <typename T>
Outcome<T> run(const SlotPairs<const T>& f, const SlotPairs<const T>& p) {
  const std::int64_t losses = 2 * f.images * f.slots;
  Outcome<T> outcome{std::vector<T>(losses), std::vector<T>(losses * f.channels),
                     Indices(f.images * f.slots)};
  matching_similarity_loss_per_img(
      f, p, {.reduction = Reduction::none},
      {.loss = outcome.loss.data(),
       .gradient = SimilarityGradient<T>{view_major_slots(outcome.gradient.data(),
                                                          {2 * f.images, f.slots, f.channels})},
       .matching = outcome.matching.data()});
  return outcome;
}

// Below, at and above the lanes of any vector, and those of several.
constexpr std::int64_t kSlots[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 15, 16, 17, 24, 31, 32, 33};
constexpr std::int64_t kChannels[] = {0,  1,  2,  3,  4,  5,  6,  7,   8,   9,  10, 11,
                                      12, 13, 14, 15, 16, 17, 19, 23,  24,  25, 31, 32,
                                      33, 47, 48, 49, 63, 64, 65, 127, 128, 129};

template <typename T>
class Memory : public ::testing::Test {};
using Types = ::testing::Types<double, float, float16, bfloat16>;
TYPED_TEST_SUITE(Memory, Types);

TYPED_TEST(Memory, TheLossStaysWithinWhatItIsGiven) {
  using T = TypeParam;
  CaseOnFault fault;
  for (const std::int64_t slots : kSlots) {
    for (const std::int64_t channels : kChannels) {
      const auto f = random_elements<T>(2 * slots * channels, 1),
                 p = random_elements<T>(2 * slots * channels, 2),
                 incoming = random_elements<T>(2 * slots, 3);
      const std::array<std::int64_t, 3> shape = {2, slots, channels};
      std::vector<T> loss(2 * slots), gradient(f.size());
      Indices matching(slots);
      const MatchingSimilarityOptions options{.reduction = Reduction::none};
      matching_similarity_loss_per_img(
          view_major_slots(f.data(), shape), view_major_slots(p.data(), shape), options,
          {.loss = loss.data(),
           .gradient =
               SimilarityGradient<T>{view_major_slots(gradient.data(), shape), incoming.data()},
           .matching = matching.data()});
      for (const Guard guard : {Guard::behind, Guard::before}) {
        fault.set("%d slots, %d channels, guard page %s", static_cast<int>(slots),
                  static_cast<int>(channels), guard == Guard::behind ? "behind" : "before");
        const Guarded<T> guarded_f(f, guard), guarded_p(p, guard),
            guarded_incoming(incoming, guard), guarded_loss(loss.size(), guard, T{}),
            guarded_gradient(gradient.size(), guard, T{});
        const Guarded<std::int64_t> guarded_matching(matching.size(), guard, -7);
        const Guarded<ImageStatus> statuses(1, guard, ImageStatus::nonfinite);
        const Guarded<char> memory(matching_similarity_workspace<T>(1, slots, channels, 1), guard,
                                   0);
        Workspace workspace(memory.data(), memory.size());
        MatchingSimilarityOptions guarded_options = options;
        guarded_options.workspace = &workspace;
        const auto f_view = view_major_slots<const T>(guarded_f.data(), shape),
                   p_view = view_major_slots<const T>(guarded_p.data(), shape);
        const SimilarityGradient<T> gradient_view{view_major_slots(guarded_gradient.data(), shape),
                                                  guarded_incoming.data()};
        matching_similarity_loss_per_img(f_view, p_view, guarded_options,
                                         {.loss = guarded_loss.data(),
                                          .gradient = gradient_view,
                                          .matching = guarded_matching.data(),
                                          .statuses = statuses.data()});
        SCOPED_TRACE(::testing::Message() << slots << " slots, " << channels << " channels");
        EXPECT_TRUE(guarded_loss.holds(loss));
        EXPECT_TRUE(guarded_gradient.holds(gradient));
        EXPECT_TRUE(guarded_matching.holds(matching));
        std::fill_n(guarded_gradient.data(), guarded_gradient.size(), T{});
        matching_similarity_loss_per_img_backward(f_view, p_view, guarded_matching.data(),
                                                  guarded_options, gradient_view);
        EXPECT_TRUE(guarded_gradient.holds(gradient));
      }
    }
  }
}

TYPED_TEST(Memory, TheContrastiveLossStaysWithinWhatItIsGiven) {
  using T = TypeParam;
  CaseOnFault fault;
  for (const std::int64_t slots : {1, 2, 7, 16, 31, 32, 33, 65}) {
    for (const std::int64_t channels : {0, 1, 3, 8, 15, 16, 17, 33, 64, 129}) {
      const auto x = random_elements<T>(2 * slots * channels, 1),
                 incoming = random_elements<T>(2 * slots, 3);
      const std::array<std::int64_t, 3> shape = {2, slots, channels};
      for (const auto& [candidates, temperature] : {std::pair{Candidates::batch, 1.0},
                                                    {Candidates::batch, 0.01},
                                                    {Candidates::image, 1.0}}) {
        std::vector<T> loss(2 * slots), gradient(x.size());
        MatchingContrastiveOptions options{
            .candidates = candidates, .temperature = temperature, .reduction = Reduction::none};
        matching_contrastive_loss(view_major_slots(x.data(), shape), options,
                                  {.loss = loss.data(),
                                   .gradient = ContrastiveGradient<T>{
                                       view_major_slots(gradient.data(), shape), incoming.data()}});
        for (const Guard guard : {Guard::behind, Guard::before}) {
          fault.set("%d slots, %d channels, guard page %s", static_cast<int>(slots),
                    static_cast<int>(channels), guard == Guard::behind ? "behind" : "before");
          const Guarded<T> guarded_x(x, guard), guarded_incoming(incoming, guard),
              guarded_loss(loss.size(), guard, T{}), guarded_gradient(gradient.size(), guard, T{});
          const Guarded<std::int64_t> matching(slots, guard, -7);
          const Guarded<double> log_sums(2 * slots, guard, -7.0), accuracy(1, guard, -7.0);
          const Guarded<ImageStatus> statuses(1, guard, ImageStatus::nonfinite);
          const Guarded<char> memory(
              matching_contrastive_workspace<T>(1, slots, channels, 1, candidates, 1), guard, 0);
          ThreadPool one(1);
          Workspace workspace(memory.data(), memory.size());
          options.executor = &one;
          options.workspace = &workspace;
          const auto view = view_major_slots<const T>(guarded_x.data(), shape);
          const ContrastiveGradient<T> gradient_view{
              view_major_slots(guarded_gradient.data(), shape), guarded_incoming.data()};
          matching_contrastive_loss(view, options,
                                    {.loss = guarded_loss.data(),
                                     .gradient = gradient_view,
                                     .matching = matching.data(),
                                     .log_sums = log_sums.data(),
                                     .accuracy = accuracy.data(),
                                     .statuses = statuses.data()});
          SCOPED_TRACE(::testing::Message() << slots << " slots, " << channels << " channels");
          EXPECT_TRUE(guarded_loss.holds(loss));
          EXPECT_TRUE(guarded_gradient.holds(gradient));
          std::fill_n(guarded_gradient.data(), guarded_gradient.size(), T{});
          matching_contrastive_loss_backward(view, matching.data(), log_sums.data(), options,
                                             gradient_view);
          EXPECT_TRUE(guarded_gradient.holds(gradient));
        }
      }
    }
  }
}

TYPED_TEST(Memory, TheLossOfCropsStaysWithinWhatItIsGiven) {
  using T = TypeParam;
  CaseOnFault fault;
  for (const auto& [large_crops, large_slots, small_crops, small_slots] :
       {std::array<std::int64_t, 4>{1, 1, 1, 1},
        {2, 3, 1, 2},
        {1, 8, 2, 7},
        {3, 5, 3, 11},
        {1, 17, 1, 16},
        {2, 0, 1, 3},
        {0, 2, 2, 3}}) {
    for (const std::int64_t channels : kChannels) {
      const auto f = random_elements<T>(large_crops * large_slots * channels, 1),
                 p = random_elements<T>(small_crops * small_slots * channels, 2);
      const std::int64_t pairs = large_crops * small_crops;
      const auto incoming = random_elements<T>(pairs, 3);
      std::vector<T> loss(pairs), gradient(p.size());
      Indices matching(pairs * small_slots);
      const auto large = [&, crops = large_crops, slots = large_slots](const T* x) {
        return contiguous_crops(x, 1, crops, slots, channels);
      };
      const auto small = [&, crops = small_crops, slots = small_slots](auto* x) {
        return contiguous_crops(x, 1, crops, slots, channels);
      };
      const SmallToLargeOptions options{.reduction = Reduction::none};
      matching_similarity_loss_small_to_large(
          large(f.data()), small(p.data()), options,
          {.loss = loss.data(),
           .gradient = SmallToLargeGradient<T>{small(gradient.data()), incoming.data()},
           .matching = matching.data()});
      for (const Guard guard : {Guard::behind, Guard::before}) {
        fault.set("%d x %d against %d x %d slots, %d channels, guard page %s",
                  static_cast<int>(large_crops), static_cast<int>(large_slots),
                  static_cast<int>(small_crops), static_cast<int>(small_slots),
                  static_cast<int>(channels), guard == Guard::behind ? "behind" : "before");
        const Guarded<T> guarded_f(f, guard), guarded_p(p, guard),
            guarded_incoming(incoming, guard), guarded_loss(loss.size(), guard, T{}),
            guarded_gradient(gradient.size(), guard, T{});
        const Guarded<std::int64_t> guarded_matching(matching.size(), guard, -7);
        const Guarded<ImageStatus> statuses(1, guard, ImageStatus::nonfinite);
        const Guarded<double> ratio(1, guard, -7);
        const Guarded<T> mean(1, guard, T{});
        const Guarded<char> memory(
            small_to_large_workspace<T>(1, large_crops, large_slots, small_crops, small_slots,
                                        channels, 1),
            guard, 0);
        Workspace workspace(memory.data(), memory.size());
        const SmallToLargeOptions guarded_options{.reduction = Reduction::none,
                                                  .workspace = &workspace};
        const SmallToLargeGradient<T> gradient_view{small(guarded_gradient.data()),
                                                    guarded_incoming.data()};
        matching_similarity_loss_small_to_large(large(guarded_f.data()),
                                                small(static_cast<const T*>(guarded_p.data())),
                                                guarded_options,
                                                {.loss = guarded_loss.data(),
                                                 .counted_ratio = ratio.data(),
                                                 .gradient = gradient_view,
                                                 .matching = guarded_matching.data(),
                                                 .statuses = statuses.data()});
        SCOPED_TRACE(::testing::Message()
                     << large_crops << ", " << large_slots << ", " << small_crops << ", "
                     << small_slots << ", " << channels);
        EXPECT_TRUE(guarded_loss.holds(loss));
        EXPECT_TRUE(guarded_gradient.holds(gradient));
        EXPECT_TRUE(guarded_matching.holds(matching));
        std::fill_n(guarded_gradient.data(), guarded_gradient.size(), T{});
        matching_similarity_loss_small_to_large_backward(
            large(guarded_f.data()), small(static_cast<const T*>(guarded_p.data())),
            guarded_matching.data(), guarded_options, gradient_view);
        EXPECT_TRUE(guarded_gradient.holds(gradient));
        matching_similarity_loss_small_to_large(
            large(guarded_f.data()), small(static_cast<const T*>(guarded_p.data())),
            {.workspace = &workspace},
            {.loss = mean.data(),
             .gradient = SmallToLargeGradient<T>{gradient_view.p}});  // in two passes
      }
    }
  }
}

TYPED_TEST(Memory, TheVarianceAndCovarianceStayWithinWhatTheyAreGiven) {
  using T = TypeParam;
  CaseOnFault fault;
  ThreadPool one(1);
  for (const std::int64_t samples : {1, 2, 3, 7, 8, 9, 127, 128, 129}) {
    for (const std::int64_t features : kChannels) {
      const auto x = random_elements<T>(2 * samples * features, 1);
      std::vector<T> gradient(x.size()), terms(2);
      const auto view = [&](auto* data) { return contiguous_samples(data, 2, samples, features); };
      variance_covariance_loss(view(x.data()), {},
                               {.variance = &terms[0],
                                .covariance = &terms[1],
                                .gradient = VarianceCovarianceGradient<T>{view(gradient.data())}});
      for (const Guard guard : {Guard::behind, Guard::before}) {
        fault.set("%d samples, %d features, guard page %s", static_cast<int>(samples),
                  static_cast<int>(features), guard == Guard::behind ? "behind" : "before");
        const Guarded<T> guarded_x(x, guard), guarded_gradient(gradient.size(), guard, T{}),
            guarded_terms(2, guard, T{}), incoming(1, guard, element<T>(1));
        const Guarded<char> memory(variance_covariance_workspace<T>(2, samples, features, 1), guard,
                                   0);
        Workspace workspace(memory.data(), memory.size());
        variance_covariance_loss(
            view(static_cast<const T*>(guarded_x.data())),
            {.executor = &one, .workspace = &workspace},
            {.variance = guarded_terms.data(),
             .covariance = guarded_terms.data() + 1,
             .gradient = VarianceCovarianceGradient<T>{view(guarded_gradient.data()),
                                                       incoming.data(), incoming.data()}});
        SCOPED_TRACE(::testing::Message() << samples << " samples, " << features << " features");
        EXPECT_TRUE(guarded_gradient.holds(gradient));
        EXPECT_TRUE(guarded_terms.holds(terms));
      }
    }
  }
}

TYPED_TEST(Memory, TheSolverStaysWithinWhatItIsGiven) {
  using T = TypeParam;
  CaseOnFault fault;
  for (const std::int64_t rows : kSlots) {
    for (const std::int64_t columns : kSlots) {
      for (const bool ties : {false, true}) {  // the fast way, and the published one
        auto costs = random_elements<T>(rows * columns, 1);
        if (ties) std::fill(costs.begin(), costs.end(), element<T>(1));
        Indices column_of_row(rows), row_of_column(columns);
        linear_sum_assignment(contiguous_costs(costs.data(), 1, rows, columns),
                              {column_of_row.data(), row_of_column.data()});
        std::vector<T> across(costs.size());
        for (std::int64_t i = 0; i < rows * columns; ++i)
          across[i % columns * rows + i / columns] = costs[i];
        for (const Guard guard : {Guard::behind, Guard::before}) {
          for (const bool column_major : {false, true}) {
            fault.set("%d x %d, %s, guard page %s", static_cast<int>(rows),
                      static_cast<int>(columns), column_major ? "column-major" : "row-major",
                      guard == Guard::behind ? "behind" : "before");
            const Guarded<T> guarded_costs(column_major ? across : costs, guard);
            const Guarded<std::int64_t> guarded_columns(rows, guard, -7),
                guarded_rows(columns, guard, -7);
            const Guarded<AssignmentStatus> statuses(1, guard, AssignmentStatus::nan_cost);
            const CostMatrices<T> view{guarded_costs.data(),
                                       1,
                                       rows,
                                       columns,
                                       rows * columns,
                                       column_major ? 1 : columns,
                                       column_major ? rows : 1};
            const Guarded<char> memory(linear_sum_assignment_workspace(view, 1), guard, 0);
            Workspace workspace(memory.data(), memory.size());
            linear_sum_assignment(view,
                                  {guarded_columns.data(), guarded_rows.data(), statuses.data()},
                                  {.workspace = &workspace});
            SCOPED_TRACE(::testing::Message() << rows << " x " << columns);
            EXPECT_TRUE(guarded_columns.holds(column_of_row));
            EXPECT_TRUE(guarded_rows.holds(row_of_column));
          }
        }
      }
    }
  }
}

// Every offset within a line of the caches, of all arrays, each its own.
TYPED_TEST(Memory, AnyAddressOfAnElementWillDo) {
  using T = TypeParam;
  constexpr std::int64_t kOffsets = 64 / sizeof(T);
  for (const auto& [slots, channels] : {std::pair<std::int64_t, std::int64_t>{1, 1},
                                        {3, 5},
                                        {7, 16},
                                        {8, 17},
                                        {5, 64},
                                        {17, 32},
                                        {4, 65}}) {
    const std::array<std::int64_t, 3> shape = {4, slots, channels};
    const std::int64_t elements = 4 * slots * channels, losses = 4 * slots;
    const auto f = random_elements<T>(elements, 1), p = random_elements<T>(elements, 2);
    const Outcome<T> expected =
        run<T>(view_major_slots(f.data(), shape), view_major_slots(p.data(), shape));
    const auto costs = random_elements<T>(slots * channels, 3);
    Indices columns(slots), expected_columns(slots);
    linear_sum_assignment(contiguous_costs(costs.data(), 1, slots, channels),
                          {.column_of_row = expected_columns.data()});
    alignas(64) static char lines[4][200'000];
    T* const base[4] = {reinterpret_cast<T*>(lines[0]), reinterpret_cast<T*>(lines[1]),
                        reinterpret_cast<T*>(lines[2]), reinterpret_cast<T*>(lines[3])};
    ASSERT_LE(static_cast<std::size_t>(elements + 2 * kOffsets) * sizeof(T), sizeof lines[0]);
    for (std::int64_t offset = 0; offset < kOffsets; ++offset) {
      SCOPED_TRACE(::testing::Message() << slots << " slots, " << channels << " channels, "
                                        << offset << " elements into a line");
      T* const at_f = base[0] + offset;
      T* const at_p = base[1] + (3 * offset + 1) % kOffsets;
      T* const at_gradient = base[2] + (5 * offset + 2) % kOffsets;
      T* const at_loss = base[3] + (7 * offset + 3) % kOffsets;
      std::copy(f.begin(), f.end(), at_f);
      std::copy(p.begin(), p.end(), at_p);
      Indices matching(2 * slots);
      matching_similarity_loss_per_img(
          view_major_slots<const T>(at_f, shape), view_major_slots<const T>(at_p, shape),
          {.reduction = Reduction::none},
          {.loss = at_loss,
           .gradient = SimilarityGradient<T>{view_major_slots(at_gradient, shape)},
           .matching = matching.data()});
      EXPECT_TRUE(same_bits<T>(std::span(at_loss, losses), expected.loss));
      EXPECT_TRUE(same_bits<T>(std::span(at_gradient, elements), expected.gradient));
      EXPECT_EQ(matching, expected.matching);
      std::copy(costs.begin(), costs.end(), at_f);
      linear_sum_assignment(contiguous_costs<T>(at_f, 1, slots, channels),
                            {.column_of_row = columns.data()});
      EXPECT_EQ(columns, expected_columns);
    }
  }
}

// A gradient too large for the caches is written past them, where its address allows that.
TYPED_TEST(Memory, ALargeGradientAtAnyAddress) {
  using T = TypeParam;
  constexpr std::int64_t kS = 7, kC = 32, kImages = 8 * (1 << 20) / (2 * kS * kC * sizeof(T)) + 1,
                         kElements = 2 * kImages * kS * kC;
  // f and p are one image again and again, by a stride of zero.
  const auto f = random_elements<T>(2 * kS * kC, 1), p = random_elements<T>(2 * kS * kC, 2);
  const auto one = [&](const std::vector<T>& x) { return view_major_slots(x.data(), {2, kS, kC}); };
  const Outcome<T> expected = run<T>(one(f), one(p));
  std::vector<T> memory(kElements + 32);
  const auto many = [&](const std::vector<T>& x) {
    return SlotPairs<const T>{x.data(), kImages, kS, kC, kS * kC, 0, kC};
  };
  for (const std::int64_t offset : {0, 1, 2, 3, 8, 31}) {
    T* const gradient = memory.data() + offset;
    std::vector<T> loss(2 * kImages * kS);
    matching_similarity_loss_per_img(
        many(f), many(p), {.reduction = Reduction::none},
        {.loss = loss.data(),
         .gradient = SimilarityGradient<T>{view_major_slots(gradient, {2 * kImages, kS, kC})}});
    for (const std::int64_t image : {std::int64_t{0}, kImages / 2, kImages - 1}) {
      EXPECT_TRUE(same_bits<T>(std::span(gradient + image * kS * kC, kS * kC),
                               std::span(expected.gradient).first(kS * kC)))
          << offset << ", image " << image;
    }
  }
}

TYPED_TEST(Memory, FAndPMayOverlap) {
  using T = TypeParam;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    const auto images = static_cast<std::int64_t>(1 + seed % 3),
               slots = static_cast<std::int64_t>(1 + seed % 10),
               channels = static_cast<std::int64_t>(1 + seed % 37);
    const std::array<std::int64_t, 3> shape = {2 * images, slots, channels};
    const std::int64_t elements = 2 * images * slots * channels,
                       shift = static_cast<std::int64_t>(seed % 5);
    const auto memory = random_elements<T>(elements + shift, seed);
    const std::vector<T> f(memory.begin(), memory.begin() + elements),
        p(memory.begin() + shift, memory.end());
    EXPECT_EQ(run<T>(view_major_slots(memory.data(), shape),
                     view_major_slots(memory.data() + shift, shape)),
              run<T>(view_major_slots(f.data(), shape), view_major_slots(p.data(), shape)))
        << "seed " << seed;
  }
}

}  // namespace
}  // namespace osc
