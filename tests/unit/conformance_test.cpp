// What every operator of the table must do, in every type: one test a property. expected.hpp says
// what the numbers are. What is peculiar to one operator is in a file of its own.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <iterator>
#include <set>
#include <sstream>
#include <thread>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "call.hpp"
#include "cpp_door.hpp"
#include "expected.hpp"
#include "random_call.hpp"

namespace osc {
namespace {

class Conformance : public ::testing::TestWithParam<std::tuple<const char*, std::int32_t>> {
 protected:
  const osc_operator& row() const { return operator_named(std::get<0>(GetParam())); }
  std::int32_t dtype() const { return std::get<1>(GetParam()); }
  bool is_gathered() const { return RandomCall::is_gathered(row()); }

  // Calls check(call, random) for so many random calls of each kind.
  template <typename Check>
  void each_call(std::uint64_t seeds, const std::vector<Kind>& kinds, const Check& check) const {
    for (const Kind kind : kinds) {
      // Products of samples leave the type: variance_covariance_test.cpp has them.
      if (kind == Kind::magnitudes && std::string(row().name) == "variance_covariance_loss")
        continue;
      for (std::uint64_t seed = 0; seed < seeds && !HasFailure(); ++seed) {
        SCOPED_TRACE(::testing::Message()
                     << "kind " << static_cast<int>(kind) << ", seed " << seed);
        RandomCall random(seed);
        Call call = random.call(row(), dtype(), kind);
        check(call, random);
      }
    }
  }
};

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream words(text);
  return {std::istream_iterator<std::string>(words), {}};
}

const std::vector<Kind> kAllKinds = {Kind::ordinary, Kind::magnitudes, Kind::ties, Kind::nonfinite};

TEST_P(Conformance, EqualsTheOracle) {
  each_call(150, kAllKinds, [&](Call& call, RandomCall&) {
    const Status status = call.run();
    ASSERT_TRUE(status.ok()) << status.text();
    ASSERT_EQ(wrong_of(call), "");
  });
}

TEST_P(Conformance, GivesTheSameThroughCpp) {
  each_call(30, kAllKinds, [&](Call& call, RandomCall&) {
    Call through_cpp = call;
    ASSERT_TRUE(call.run().ok());
    ASSERT_TRUE(run_cpp(through_cpp).ok());
    ASSERT_EQ(difference(through_cpp, call), "");
  });
}

// Any order of dimensions in memory, backwards too, with gaps; views as 2B or as [2, B].
TEST_P(Conformance, StridesEqualCopies) {
  each_call(150, {Kind::ordinary, Kind::magnitudes}, [&](Call& call, RandomCall& random) {
    Call in_place = call;
    ASSERT_TRUE(call.run().ok());
    const Status status = in_place.run(strided(random.random(), random.pick(0, 1) == 1));
    ASSERT_TRUE(status.ok()) << status.text();
    ASSERT_EQ(difference(in_place, call), "");
    ASSERT_TRUE(in_place.gaps_are_untouched);
  });
}

// A separate backward call, from the residuals, has the bits of one call for loss and gradient.
TEST_P(Conformance, BackwardHasTheBitsOfOneCall) {
  if (!row().differentiated || is_gathered()) return;
  each_call(100, kAllKinds, [&](Call& call, RandomCall&) {
    ASSERT_TRUE(call.run().ok());
    Call backward = call.backward();
    const Status status = backward.run();
    ASSERT_TRUE(status.ok()) << status.text();
    ASSERT_EQ(difference(backward, call), "");
  });
}

TEST_P(Conformance, HasTheSameBitsOnAnyNumberOfThreads) {
  ThreadPool one(1), two(2), three(3), sixteen(16);
  each_call(6, {Kind::ordinary, Kind::nonfinite}, [&](Call&, RandomCall& random) {
    Sizes sizes = random.sizes(row());
    for (const auto& [letter, times] : {std::pair{"B", 20}, {"N", 10}, {"G", 10}, {"D", 4}}) {
      if (sizes.count(letter)) sizes[letter] *= times;
    }
    Call call = random.call(row(), dtype(), Kind::ordinary, sizes);
    call.executor = &one;
    ASSERT_TRUE(call.run().ok());
    for (ThreadPool* const pool : {&two, &three, &sixteen}) {
      Call again = call;
      again.executor = pool;
      ASSERT_TRUE(again.run().ok());
      ASSERT_EQ(difference(again, call), "") << pool->concurrency() << " threads";
    }
    call.executor = nullptr;
    Call by_default = call;
    ASSERT_TRUE(by_default.run().ok());
    ASSERT_EQ(difference(by_default, call), "");
  });
}

// 16-bit inputs give what the floats of the same value give, rounded once.
TEST_P(Conformance, SixteenBitsGiveTheirFloatsResultsRounded) {
  if (dtype() == OSC_FLOAT64 || dtype() == OSC_FLOAT32) return;
  each_call(100, {Kind::ordinary, Kind::ties, Kind::nonfinite}, [&](Call& call, RandomCall&) {
    Call wide(row(), OSC_FLOAT32, call.sizes(), call.options());
    for (Array& array : wide.arrays()) {
      array.values = call[array.row->name].values;
      array.is_given = call[array.row->name].is_given;
    }
    ASSERT_TRUE(call.run().ok());
    ASSERT_TRUE(wide.run().ok());
    for (Array& array : wide.arrays()) {
      for (double& x : array.values) x = rounded(call[array.row->name].dtype, x);
      if (std::string(array.row->name) == "gradient_scales") array.is_given = false;
    }
    ASSERT_EQ(difference(wide, call), "");
  });
}

// Sizes 0 and 1, in all combinations.
TEST_P(Conformance, SizesOfNoneAndOne) {
  const Sizes letters = RandomCall(1).sizes(row());
  for (int bits = 0; bits < 1 << letters.size(); ++bits) {
    Sizes sizes;
    int i = 0;
    for (const auto& [letter, size] : letters) sizes[letter] = bits >> i++ & 1;
    if (is_gathered() && sizes["R"] == 0) continue;  // an error
    for (int reduction = OSC_MEAN; reduction <= OSC_NONE; ++reduction) {
      for (const Kind kind : {Kind::ordinary, Kind::nonfinite}) {
        SCOPED_TRACE(::testing::PrintToString(sizes));
        Call call(row(), dtype(), sizes,
                  {{"reduction", static_cast<double>(reduction)},
                   {"on_unsolvable", OSC_UNSOLVABLE_UNMATCHED}});
        RandomCall(static_cast<std::uint64_t>(bits)).fill(call, kind);
        if (is_gathered()) call["grad_slots"].is_given = false;
        call.tamper = [](const Array& array, osc_array& described) {
          if (array.values.empty()) described.data = nullptr;
        };
        const Status status = call.run();
        ASSERT_TRUE(status.ok()) << status.text();
        ASSERT_EQ(wrong_of(call), "");
      }
    }
  }
}

// No call reads or writes beyond its arrays, for sizes around multiples of the vector lanes, with a
// workspace of exactly the bytes that it needs.
TEST_P(Conformance, StaysWithinWhatItIsGiven) {
  CaseOnFault fault;
  ThreadPool one(1);
  constexpr std::int64_t kAround[] = {0,  1,  2,  3,  4,  5,  7,  8,   9,   15, 16,
                                      17, 31, 32, 33, 63, 64, 65, 127, 128, 129};
  for (std::uint64_t seed = 0; seed < 200 && !HasFailure(); ++seed) {
    RandomCall random(seed);
    Sizes sizes = random.sizes(row());
    for (auto& [letter, size] : sizes) {
      if (letter == "C" || letter == "D") size = kAround[random.pick(0, 20)];
      if (letter == "S" || letter == "L" || letter == "N" || letter == "R" || letter == "K")
        size = kAround[random.pick(1, 14)];
      if (letter == "B" || (letter == "R" && is_gathered()) || (letter == "N" && sizes.count("K")))
        size = random.pick(1, 2);
    }
    Call call = random.call(row(), dtype(),
                            random.pick(0, 3) == 0 ? Kind::magnitudes : Kind::ordinary, sizes);
    Workspace grows;
    call.executor = &one;
    call.workspace = &grows;
    ASSERT_TRUE(call.run().ok());
    for (const Guard guard : {Guard::behind, Guard::before}) {
      fault.set("%s, seed %d, guard page %s", row().name, static_cast<int>(seed),
                guard == Guard::behind ? "behind" : "before");
      const Guarded<char> memory(grows.bytes(), guard, 0);
      Workspace exact(memory.data(), memory.size());
      Call again = call;
      again.workspace = &exact;
      const Status status = again.run(guarded(guard));
      ASSERT_TRUE(status.ok()) << status.text();
      ASSERT_EQ(difference(again, call), "");
      if (!row().differentiated || is_gathered()) continue;
      Call backward = call.backward();
      backward.workspace = &grows;
      ASSERT_TRUE(backward.run(guarded(guard)).ok());
      ASSERT_EQ(difference(backward, call), "");
    }
  }
}

// Arrays may begin at any address that is aligned for an element.
TEST_P(Conformance, AnyAddressOfAnElementWillDo) {
  each_call(12, {Kind::ordinary}, [&](Call& call, RandomCall&) {
    ASSERT_TRUE(call.run().ok());
    for (std::int64_t offset = 1; offset < 64 / bytes_of(dtype()); offset += 3) {
      Call moved = call;
      ASSERT_TRUE(moved.run(contiguously(offset)).ok());
      ASSERT_EQ(difference(moved, call), "") << offset;
    }
  });
}

// A workspace that is too small is an error before anything is written.
TEST_P(Conformance, AWorkspaceThatIsTooSmallIsAnError) {
  ThreadPool one(1);
  RandomCall random(3);
  Call call = random.call(row(), dtype(), Kind::ordinary);
  Workspace grows;
  call.executor = &one;
  call.workspace = &grows;
  ASSERT_TRUE(call.run().ok());
  ASSERT_GT(grows.bytes(), 0u);
  for (std::size_t bytes = 0; bytes < grows.bytes(); bytes += 1 + grows.bytes() / 97) {
    const Guarded<char> memory(bytes, Guard::behind, 0);
    Workspace small(memory.data(), bytes);
    Call refused = call;
    refused.workspace = &small;
    const Status status = refused.run();
    ASSERT_EQ(status.code(), StatusCode::out_of_memory) << bytes << " of " << grows.bytes();
    ASSERT_NE(std::string(status.text()).find(" bytes"), std::string::npos) << status.text();
    ASSERT_TRUE(is_untouched(refused));
  }
  // As many bytes as the call needed are enough, whatever their alignment.
  std::vector<char> memory(grows.bytes() + 63 + 64);
  for (std::size_t offset = 0; offset < 64; offset += 7) {
    Workspace enough(memory.data() + offset, grows.bytes() + 63);
    Call again = call;
    again.workspace = &enough;
    ASSERT_TRUE(again.run().ok());
    ASSERT_EQ(difference(again, call), "");
  }
}

// OSC_RAISE names the input and the image, before anything is written.
TEST_P(Conformance, RaisesForWhatIsNotFinite) {
  if (std::string(row().name) == "linear_sum_assignment") return;
  each_call(60, {Kind::nonfinite}, [&](Call& call, RandomCall&) {
    call.set_option("on_nonfinite", OSC_RAISE);
    // The expected error names the first input with a NaN or an infinity; for gathered slots, in
    // the first such rank.
    std::string name;
    std::int64_t first = -1, rank = -1;
    const std::int64_t images = call.size(call.has("x") ? "G" : "B");
    for (const Array& array : call.arrays()) {
      if (array.row->role != OSC_ROLE_INPUT || first >= 0) continue;
      name = array.row->name;
      const bool has_views = std::string(array.row->shape).find("2B") != std::string::npos;
      for (std::int64_t i = 0; i < std::ssize(array.values); ++i) {
        if (std::isfinite(array.values[i])) continue;
        const std::int64_t slot = i / array.sizes.back(),
                           of_rank = has_views ? slot / (2 * images * call.size("S")) : 0,
                           image = has_views ? slot / call.size("S") % images
                                             : i / (std::ssize(array.values) / images);
        if (rank < 0) rank = of_rank;
        if (of_rank == rank && (first < 0 || image < first)) first = image;
      }
    }
    const Status status = call.run();
    ASSERT_EQ(status.code(), first < 0 ? StatusCode::ok : StatusCode::nonfinite);
    if (first < 0) return;
    const std::string text = name + (call.has("x") ? ": group " : ": image ") +
                             std::to_string(first) + " of " + std::to_string(images) +
                             " holds a NaN or an infinity";
    ASSERT_EQ(status.text(), text);
    ASSERT_EQ(status.index(), first);
    ASSERT_TRUE(is_untouched(call));
  });
}

// Each output has the same bits whether others, or the gradient, are wanted or not; and outputs may
// come without sizes.
TEST_P(Conformance, OutputsDoNotDependOnEachOther) {
  each_call(20, {Kind::ordinary, Kind::magnitudes}, [&](Call& call, RandomCall&) {
    ASSERT_TRUE(call.run().ok());
    Call without_sizes = call;
    without_sizes.tamper = [](const Array& array, osc_array& described) {
      if (array.row->role != OSC_ROLE_INPUT)
        described.sizes = described.strides = nullptr, described.dims = 0;
    };
    ASSERT_TRUE(without_sizes.run().ok());
    ASSERT_EQ(difference(without_sizes, call), "");
    for (const Array& one : call.arrays()) {
      if (one.is_read() || !one.is_given) continue;
      const std::string name = one.row->name;
      if (name == "gradient_scales") continue;  // of the gradient
      Call alone = call;
      for (Array& array : alone.arrays()) array.is_given &= array.is_read() || array.row == one.row;
      ASSERT_TRUE(alone.run().ok());
      ASSERT_EQ(difference(alone, call), "");
    }
  });
}

// The gradient against central differences of the losses as they are defined.
TEST_P(Conformance, TheGradientIsTheSlopeOfTheLoss) {
  if (!row().differentiated || is_gathered() || dtype() != OSC_FLOAT64) return;
  for (const int reduction : {OSC_MEAN, OSC_SUM, OSC_NONE}) {
    Call call(row(), dtype(),
              {{"B", 2},
               {"S", 3},
               {"C", 4},
               {"Al", 2},
               {"L", 3},
               {"As", 2},
               {"G", 2},
               {"N", 6},
               {"D", 4}},
              {{"reduction", static_cast<double>(reduction)}, {"temperature", 0.5}});
    RandomCall(11).fill(call, Kind::ordinary);
    ASSERT_TRUE(call.run().ok());
    const auto loss_at = [&](std::size_t i, double x) {
      Call moved = call;
      moved[row().differentiated].values[i] = x;
      std::string problem;
      Expected expected = expect(moved, problem);
      EXPECT_EQ(problem, "");
      Real sum = 0;
      for (const Array& array : call.arrays()) {
        if (array.row->role != OSC_ROLE_LOSS) continue;
        const std::string name = array.row->name;
        const Array& grad = call[name == "loss" ? "grad_output" : "grad_" + name];
        for (std::size_t k = 0; k < grad.values.size(); ++k)
          sum += grad.values[k] * expected[name][k].value;
      }
      return sum;
    };
    const std::vector<double>& x = call[row().differentiated].values;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double above = x[i] + 0x1p-20, below = x[i] - 0x1p-20;
      ASSERT_NEAR(call["grad_" + std::string(row().differentiated)].values[i],
                  static_cast<double>((loss_at(i, above) - loss_at(i, below)) / (above - below)),
                  1e-9)
          << "element " << i;
    }
  }
}

// If slots and grad_output are multiplied by the same power of two, the gradient does not change:
// from denormal slots up to slots whose norm overflows.
TEST_P(Conformance, GradientsOfSlotsOfAnyMagnitude) {
  const bool is_double = dtype() == OSC_FLOAT64;
  if (!row().differentiated || is_gathered() || (!is_double && dtype() != OSC_FLOAT32)) return;
  Call call(
      row(), dtype(),
      {{"B", 3}, {"S", 4}, {"C", 9}, {"Al", 2}, {"L", 3}, {"As", 2}, {"G", 1}, {"N", 1}, {"D", 1}},
      {{"temperature", 0.2}, {"reduction", OSC_SUM}, {"eps", 5e-324}});
  if (call.has("x")) return;  // samples have no units
  RandomCall(1).fill(call, Kind::ordinary);
  call["grad_output"].values = {1};
  const std::string slots = row().differentiated;
  for (double& x : call[slots].values) x = std::round(x * 8) / 8;  // so that scaling is exact
  const Call original = call;
  ASSERT_TRUE(call.run().ok());
  const int least = is_double ? -1071 : -146, most = is_double ? 1021 : 125;
  for (int exponent = least; exponent < most; ++exponent) {
    Call scaled = original;
    const int of_grad = std::max(exponent, least + 40);  // a normal number
    for (double& x : scaled[slots].values) x = std::ldexp(x, exponent);
    scaled["grad_output"].values[0] = std::ldexp(1.0, of_grad);
    ASSERT_TRUE(scaled.run().ok());
    const auto& gradient = scaled["grad_" + slots].values;
    for (std::size_t i = 0; i < gradient.size(); ++i)
      ASSERT_NEAR(std::ldexp(gradient[i], exponent - of_grad), call["grad_" + slots].values[i],
                  (call.has("slots") ? 32 : 1) * (is_double ? 0x1p-45 : 0x1p-17))
          << "2^" << exponent;
  }
}

// The image, group or problem that an element belongs to; -1 for none.
std::int64_t image_of(const Call& call, const Array& array, std::int64_t element) {
  const std::string shape = array.row->shape;
  const std::string letter = call.has("x") ? "G" : call.has("cost") ? "N" : "B";
  const bool has_views = shape.find("2" + letter) != std::string::npos;
  if (array.sizes.empty() || (!has_views && shape.find(letter) != 0)) return -1;
  const std::int64_t images = call.size(letter), ranks = shape.find("R ") == 0 ? call.size("R") : 1;
  return element / (std::ssize(array.values) / (ranks * (has_views ? 2 : 1) * images)) % images;
}

// What one image holds changes no bit of another's results.
TEST_P(Conformance, ImagesDoNotDependOnEachOther) {
  if (is_gathered()) return;  // all slots of the batch are candidates
  each_call(60, {Kind::ordinary}, [&](Call& call, RandomCall& random) {
    Options options = call.options();
    options["reduction"] = OSC_NONE;
    options["candidates"] = OSC_CANDIDATES_IMAGE;
    call = Call(row(), dtype(), call.sizes(), options);
    random.fill(call, Kind::ordinary);
    Call other = call;
    ASSERT_TRUE(call.run().ok());
    Array* input = nullptr;  // the last
    for (Array& array : other.arrays()) {
      if (array.row->role == OSC_ROLE_INPUT) input = &array;
    }
    if (input->values.empty()) return;
    const std::int64_t changed = random.pick(0, std::ssize(input->values) - 1),
                       image = image_of(other, *input, changed);
    input->values[changed] = random.pick(0, 1) == 0 ? NAN : rounded(dtype(), 3);
    ASSERT_TRUE(other.run().ok());
    for (const Array& array : other.arrays()) {
      for (std::int64_t i = 0; i < std::ssize(array.values) && !array.is_read(); ++i) {
        const std::int64_t of = image_of(other, array, i);
        if (of < 0 || of == image) continue;
        ASSERT_TRUE(same(array.values[i], call[array.row->name].values[i]))
            << array.row->name << "[" << i << "]";
      }
    }
  });
}

// The bounds hold exactly, also for slots that are equal or opposite up to a factor.
TEST_P(Conformance, SimilarityLossesAreBetweenZeroAndOne) {
  if (std::string(row().name).find("similarity") == std::string::npos) return;
  for (std::uint64_t seed = 0; seed < 1000 && !HasFailure(); ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    RandomCall random(seed);
    Call call(row(), dtype(),
              {{"B", 1}, {"S", 1}, {"C", random.pick(1, 40)}, {"Al", 1}, {"L", 1}, {"As", 1}},
              {{"reduction", static_cast<double>(seed % 3)}, {"eps", seed % 5 == 0 ? 2 : 1e-10}});
    random.fill(call, Kind::ordinary);
    const std::vector<double>& x = call.arrays()[0].values;
    std::vector<double>& y = call.arrays()[1].values;
    for (std::size_t i = 0; i < y.size(); ++i)
      y[i] = rounded(dtype(), (seed % 2 == 0 ? 3.1 : -0.7) * x[(i + y.size() / 2) % x.size()]);
    ASSERT_TRUE(call.run().ok());
    const double losses =
        seed % 3 == OSC_SUM
            ? static_cast<double>(call["statuses"].values.size()) * (call.has("f") ? 2 : 1)
            : 1;
    for (const double loss : call["loss"].values) {
      ASSERT_GE(loss, 0);
      ASSERT_LE(loss, losses);
    }
  }
}

// Whatever is wrong with an array is an error that begins with its name, before anything is
// written.
TEST_P(Conformance, RefusesBadArrays) {
  Sizes sizes;
  for (const auto& [letter, size] : RandomCall(1).sizes(row()))
    sizes[letter] = 2 + std::ssize(sizes) % 3;
  const auto expect_refused = [&](const Call& good, const std::string& name, const char* what,
                                  const std::function<void(osc_array&)>& tamper) {
    SCOPED_TRACE(name + ": " + what);
    Call bad = good;
    bad.tamper = [&](const Array& array, osc_array& described) {
      if (name == array.row->name) tamper(described);
    };
    const Status status = bad.run();
    EXPECT_EQ(status.code(), StatusCode::invalid_argument);
    EXPECT_EQ(std::string(status.text()).find(name + " "), 0u) << status.text();
    EXPECT_TRUE(is_untouched(bad));
  };
  Call good(row(), dtype(), sizes, {{"reduction", OSC_NONE}});
  RandomCall(1).fill(good, Kind::ordinary);
  if (is_gathered()) good["grad_slots"].is_given = false;
  std::set<std::string> seen;
  for (const Array& array : good.arrays()) {
    if (!array.is_given) continue;
    const std::string name = array.row->name, shape = array.row->shape;
    const bool is_input = array.row->role == OSC_ROLE_INPUT, is_first = &array == &good.arrays()[0];
    Dimensions other = array.sizes, strides = row_major(array.sizes);
    const auto refused = [&](const char* what, const std::function<void(osc_array&)>& tamper) {
      expect_refused(good, name, what, tamper);
    };
    for (std::int32_t dtype = -1; dtype <= OSC_INT32 + 1; ++dtype) {
      const bool is_fine = dtype == array.dtype || (dtype == OSC_ABSENT && !is_input) ||
                           (is_first && dtype >= OSC_FLOAT64 && dtype <= OSC_BFLOAT16);
      if (!is_fine) refused("dtype", [&](osc_array& described) { described.dtype = dtype; });
    }
    refused("data", [](osc_array& described) { described.data = nullptr; });
    if (is_input) refused("no sizes", [](osc_array& described) { described.sizes = nullptr; });
    if (!strides.empty()) {
      refused("strides without sizes", [&](osc_array& described) {
        described.sizes = nullptr, described.strides = strides.data();
      });
    }
    other.push_back(1);
    refused("more dimensions", [&](osc_array& described) {
      described.sizes = other.data(), described.dims = static_cast<std::int32_t>(other.size()),
      described.strides = nullptr;
    });
    for (std::size_t d = 0; d < array.sizes.size(); ++d) {
      other = array.sizes;
      const auto with_size = [&](std::int64_t size) {
        other[d] = size;
        return [&](osc_array& described) {
          described.sizes = other.data(), described.strides = nullptr;
        };
      };
      refused("negative size", with_size(-2));
      refused("size that overflows", with_size(std::int64_t{1} << 62));
      // The first input with a letter binds it, so any size is allowed; but 2B must be even.
      const std::string dimension = words_of(shape)[d];
      if (!is_input || seen.count(dimension) || dimension == "2B")
        refused("size", with_size(array.sizes[d] + 1));
      const auto with_stride = [&](std::int64_t stride) {
        strides = row_major(array.sizes);
        strides[d] = stride;
        return [&](osc_array& described) { described.strides = strides.data(); };
      };
      seen.insert(dimension);
      refused("stride", with_stride(std::numeric_limits<std::int64_t>::max()));
      refused("stride", with_stride(std::numeric_limits<std::int64_t>::min()));
      const bool is_channel =
          d + 1 == array.sizes.size() && (shape.back() == 'C' || shape.back() == 'D');
      if (!array.is_strided() || is_channel)
        refused("stride", with_stride(2 * row_major(array.sizes)[d]));
      if (!is_input) refused("stride of an array that is written", with_stride(0));
    }
  }
}

TEST_P(Conformance, RefusesBadOptionsAndStructs) {
  RandomCall random(1);
  const Call good = random.call(row(), dtype(), Kind::ordinary);
  for (int i = 0; i < row().option_count; ++i) {
    const osc_option_description& option = row().options[i];
    std::vector<double> bad{-1};
    if (option.kind == OSC_OPTION_BOOLEAN) bad.push_back(2);
    if (option.kind == OSC_OPTION_ENUMERATION)
      bad.push_back(static_cast<double>(
          1 + std::count(option.values, option.values + std::strlen(option.values), ' ')));
    if (option.kind == OSC_OPTION_DOUBLE) bad.insert(bad.end(), {INFINITY, NAN});
    if (std::string(option.name) == "rank") bad.push_back(static_cast<double>(good.size("R")));
    for (const double value : bad) {
      SCOPED_TRACE(::testing::Message() << option.name << " " << value);
      Call call = good;
      call.set_option(option.name, value);
      const Status status = call.run();
      EXPECT_EQ(status.code(), StatusCode::invalid_argument);
      EXPECT_EQ(std::string(status.text()).find(std::string(option.name) + " is "), 0u)
          << status.text();
      EXPECT_TRUE(is_untouched(call));
    }
    if (option.kind != OSC_OPTION_DOUBLE) continue;
    // Zero selects the default in C, and is refused in C++.
    Call by_default = good, by_zero = good;
    by_default.set_option(option.name, option.default_value);
    by_zero.set_option(option.name, 0);
    EXPECT_TRUE(by_default.run().ok());
    EXPECT_TRUE(by_zero.run().ok());
    EXPECT_EQ(difference(by_zero, by_default), "");
    EXPECT_EQ(std::string(run_cpp(by_zero).text()),
              std::string(option.name) + " is 0; wanted a positive, finite number");
  }
  for (const std::size_t size :
       {std::size_t{0}, static_cast<std::size_t>(row().executor_offset) - 1,
        static_cast<std::size_t>(row().executor_offset) + 3,  // a part of a pointer
        static_cast<std::size_t>(row().workspace_offset) + 4, row().struct_size + 1}) {
    Call call = good;
    call.struct_size = size;
    const Status status = call.run();
    EXPECT_EQ(status.code(), StatusCode::invalid_argument);
    EXPECT_EQ(std::string(status.text()).find("struct_size is " + std::to_string(size)), 0u)
        << status.text();
    EXPECT_TRUE(is_untouched(call));
  }
  EXPECT_EQ(row().run(nullptr), OSC_INVALID_ARGUMENT);
  // A struct without its tail, as one of an older header would be.
  Call whole = good, shorter = good;
  shorter.struct_size = static_cast<std::size_t>(row().executor_offset);
  shorter.executor = reinterpret_cast<Executor*>(8);  // not to be looked at
  EXPECT_TRUE(whole.run().ok());
  EXPECT_TRUE(shorter.run().ok());
  EXPECT_EQ(difference(shorter, whole), "");
}

// A call uses one instruction set, even if another thread forces another one meanwhile. Memory that
// was enough on one instruction set is enough on another, or an error before anything is written.
TEST_P(Conformance, TheInstructionSetIsOneForTheWholeOfACall) {
  Sizes sizes{{"B", 2}, {"S", 9},  {"C", 3}, {"R", 2}, {"Al", 2},
              {"L", 9}, {"As", 3}, {"G", 3}, {"N", 9}, {"D", 35}};
  if (sizes.count("K") == 0 && std::string(row().name) == "linear_sum_assignment")
    sizes = {{"N", 2}, {"R", 9}, {"K", 13}};
  Call call(row(), dtype(), sizes, {{"reduction", OSC_MEAN}});
  RandomCall(2).fill(call, Kind::ordinary);
  if (is_gathered()) call["grad_slots"].is_given = false;
  ThreadPool one(1), two(2);
  std::vector<std::string> names;
  std::vector<Call> expected;
  for (const auto& [name, outcome] : on_every_instruction_set([&] {
         Call on_set = call;
         EXPECT_TRUE(on_set.run().ok());
         return on_set;
       })) {
    names.push_back(name);
    expected.push_back(outcome);
  }
  for (const auto& [name, bytes] : on_every_instruction_set([&] {
         Workspace grows;
         Call measured = call;
         measured.executor = &one;
         measured.workspace = &grows;
         EXPECT_TRUE(measured.run().ok());
         return grows.bytes();
       })) {
    std::size_t set = 0;
    on_every_instruction_set([&, bytes = bytes] {
      const Guarded<char> memory(bytes, Guard::behind, 0);
      Workspace of_another(memory.data(), bytes);
      Call again = call;
      again.executor = &one;
      again.workspace = &of_another;
      const Status status = again.run();
      EXPECT_TRUE(status.ok() ? difference(again, expected[set]).empty()
                              : status.code() == StatusCode::out_of_memory && is_untouched(again));
      return ++set;
    });
  }

  const char* const before = instruction_set();
  std::atomic<bool> done = false;
  std::thread forces([&] {
    for (std::size_t i = 0; !done; ++i) set_instruction_set(names[i % names.size()].c_str());
  });
  std::atomic<int> wrong = 0;
  const auto compute = [&] {
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(60);
    Workspace workspace;
    for (int i = 0; std::chrono::steady_clock::now() < end; ++i) {
      Call again = call;
      again.executor = &two;
      again.workspace = i % 2 == 0 ? &workspace : nullptr;
      const bool is_known = again.run().ok() &&
                            std::any_of(expected.begin(), expected.end(), [&](const Call& of_set) {
                              return difference(again, of_set).empty();
                            });
      wrong += !is_known;
    }
  };
  std::thread other(compute);
  compute();
  other.join();
  done = true;
  forces.join();
  set_instruction_set(before);
  EXPECT_EQ(wrong, 0);
}

// Hosts flush denormal numbers to zero on their threads; that changes no result.
#if defined(__x86_64__)
TEST_P(Conformance, AThreadThatFlushesDenormalsGetsTheSameBits) {
  constexpr unsigned kFlushToZero = 0x8000, kDenormalsAreZero = 0x0040,
                     kBoth = kFlushToZero | kDenormalsAreZero;
  ThreadPool two(2);
  each_call(20, {Kind::magnitudes}, [&](Call& call, RandomCall&) {
    call.executor = &two;
    Call flushed = call;
    ASSERT_TRUE(call.run().ok());
    const unsigned before = _mm_getcsr();
    flushed.before_run = [&] { _mm_setcsr(before | kBoth); };
    bool is_restored = false;
    flushed.after_run = [&] {
      is_restored = (_mm_getcsr() & kBoth) == kBoth;
      _mm_setcsr(before);
    };
    ASSERT_TRUE(flushed.run().ok());
    ASSERT_EQ(difference(flushed, call), "");
    ASSERT_TRUE(is_restored);
  });
}
#endif

std::vector<const char*> names() {
  std::int32_t count = 0;
  const osc_operator* const rows = osc_operators(&count);
  std::vector<const char*> result;
  for (std::int32_t i = 0; i < count; ++i) result.push_back(rows[i].name);
  return result;
}

std::string name_of(const ::testing::TestParamInfo<Conformance::ParamType>& tested) {
  constexpr const char* kTypes[] = {"", "float64", "float32", "float16", "bfloat16"};
  return std::string(std::get<0>(tested.param)) + "_" + kTypes[std::get<1>(tested.param)];
}
INSTANTIATE_TEST_SUITE_P(Table, Conformance,
                         ::testing::Combine(::testing::ValuesIn(names()),
                                            ::testing::Values(OSC_FLOAT64, OSC_FLOAT32, OSC_FLOAT16,
                                                              OSC_BFLOAT16)),
                         name_of);

}  // namespace
}  // namespace osc
