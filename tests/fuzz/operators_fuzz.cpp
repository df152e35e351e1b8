// Every operator of the table on numbers of every kind, type, shape and layout, on every
// instruction set: against plain loops, and against itself.
#include <fuzzer/FuzzedDataProvider.h>

#include <algorithm>
#include <array>
#include <string>

#include "expect.hpp"
#include "expected.hpp"
#include "palette.hpp"
#include "random_call.hpp"

namespace osc {
namespace {

Sizes sizes_of(FuzzedDataProvider& in, const osc_operator& row) {
  const auto pick = [&](std::int64_t least, std::int64_t most) {
    return in.ConsumeIntegralInRange<std::int64_t>(least, most);
  };
  const bool large = pick(0, 7) == 0;
  if (std::string(row.name) == "linear_sum_assignment")
    return {{"N", pick(0, 3)}, {"R", pick(0, large ? 70 : 12)}, {"K", pick(0, large ? 70 : 12)}};
  return {{"B", pick(0, 3)},
          {"S", pick(0, large ? 40 : 9)},
          {"C", pick(0, large ? 140 : 20)},
          {"Al", pick(0, 2)},
          {"L", pick(0, 9)},
          {"As", pick(0, 2)},
          {"G", pick(0, 3)},
          {"N", pick(0, 30)},
          {"D", pick(0, large ? 70 : 20)},
          {"R", pick(1, 3)}};
}

// Fills arrays with numbers of a palette. Some slots repeat the one before or are zero, and some
// single elements have arbitrary bits.
void fill(FuzzedDataProvider& in, Call& call) {
  for (Array& array : call.arrays()) {
    if (!array.is_read() || array.row->role == OSC_ROLE_GIVEN) continue;
    Palette palette(in);
    const bool repeats = in.ConsumeBool();
    std::mt19937 random(in.ConsumeIntegral<std::uint8_t>());
    call.fill(array.row->name, [&] { return palette.next(); });
    for (double& x : array.values) {  // gradients that are not finite have no meaning
      if (array.row->role == OSC_ROLE_GRAD_OUTPUT && !std::isfinite(x)) x = 1;
    }
    const std::int64_t length = array.sizes.empty() ? 1 : array.sizes.back();
    for (std::int64_t first = length; repeats && length > 0 && first < std::ssize(array.values);
         first += length) {
      const auto from = array.values.begin() + first;
      const unsigned like = random() % 4;
      if (like == 0) std::fill_n(from, length, 0);
      if (like == 1) std::copy_n(from - length, length, from);
    }
  }
  while (in.remaining_bytes() > 2) {
    Array& array =
        call.arrays()[in.ConsumeIntegralInRange<std::size_t>(0, call.arrays().size() - 1)];
    if (array.row->role != OSC_ROLE_INPUT || array.values.empty()) continue;
    double& x = array.values[in.ConsumeIntegralInRange<std::size_t>(0, array.values.size() - 1)];
    with_dtype(array.dtype, [&](auto type) {
      if constexpr (!std::is_integral_v<decltype(type)>) x = value(special<decltype(type)>(in));
    });
  }
}

void fuzz(FuzzedDataProvider& in) {
  std::int32_t count = 0;
  const osc_operator* const rows = osc_operators(&count);
  const osc_operator& row = rows[in.ConsumeIntegralInRange(0, count - 1)];
  const Sizes sizes = sizes_of(in, row);
  RandomCall random(in.ConsumeIntegral<std::uint16_t>());
  Call call(row, in.PickValueInArray(kElementTypes), sizes, random.options(row, sizes));
  if (RandomCall::is_gathered(row)) call["grad_slots"].is_given = false;
  fill(in, call);

  static ThreadPool one(1), three(3);
  on_every_instruction_set([&] {
    const char* const set = instruction_set();
    const auto expect_same = [&](Call other, const Placement& place, const char* what) {
      const Status status = other.run(place);
      OSC_EXPECT(status.ok(), "%s: %s", row.name, status.text());
      OSC_EXPECT(difference(other, call).empty(), "%s: %s of %s on %s", row.name,
                 difference(other, call).c_str(), what, set);
      OSC_EXPECT(other.gaps_are_untouched, "%s writes to gaps on %s", row.name, set);
    };
    call.executor = &one;
    const Status status = call.run();
    OSC_EXPECT(status.ok(), "%s: %s", row.name, status.text());
    // Products of samples may overflow the type, but not the plain loops in long double.
    const std::string wrong = call.has("x") ? "" : wrong_of(call);
    OSC_EXPECT(wrong.empty(), "%s: %s on %s", row.name, wrong.c_str(), set);
    Call on_three = call;
    on_three.executor = &three;
    expect_same(on_three, contiguously(), "three threads");
    expect_same(call, strided(random.random(), true), "strided arrays");
    if (row.differentiated && !RandomCall::is_gathered(row))
      expect_same(call.backward(), guarded(Guard::behind), "the backward call");
    return 0;
  });
}

}  // namespace
}  // namespace osc

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzedDataProvider in(data, size);
  osc::fuzz(in);
  return 0;
}
