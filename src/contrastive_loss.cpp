#include "osc/contrastive_loss.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <new>
#include <numeric>
#include <string>

#include "batch.hpp"
#include "checked_size.hpp"
#include "cpu/kernels.hpp"
#include "cpu/vector_math.hpp"
#include "element_types.hpp"
#include "matching.hpp"
#include "slot_checks.hpp"
#include "usual_arithmetic.hpp"

namespace osc {
namespace {

using cpu::ContrastiveProblem;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
using cpu::kLn2;

// The slots of all ranks. A slot's place is its index in [ranks, 2, B, S].
template <typename T>
struct Ranks {
  SlotPairs<const T> first;  // of rank 0
  std::int64_t ranks, rank, stride;

  std::int64_t losses() const { return 2 * first.images * first.slots; }  // of a rank
  SlotPairs<const T> slots_of(std::int64_t r) const {
    SlotPairs<const T> slots = first;
    if (first.channels > 0 && losses() > 0) slots.data += r * stride;
    return slots;
  }
};

// What is computed of them.
template <typename T>
struct Wanted {
  const MatchingContrastiveOptions& options;
  MatchingContrastiveResults<T> results;
  const std::int64_t* matching = nullptr;  // of the rank; null: to be found
  const double* log_sums = nullptr;        // of all ranks; null: to be found
};

// Calls work(x, y) for all pairs of blocks of the problem, x <= y, of which x is one of the own.
// Several threads may call this at once, with the same `next` and `turns` (an element a block),
// which start as zeros: each pair is then one thread's.
//
// The pairs are played as in a tournament: in each round every block meets one other. A block plays
// its rounds in order, whichever thread comes to them, so that sums have the same bits with any
// number of threads. A thread that takes a pair waits for both blocks to have played their rounds
// before; as pairs are taken in order, those are being played.
template <typename Problem, typename Work>
void each_pair(const Problem& problem, std::atomic<std::int64_t>& next,
               std::atomic<std::int32_t>* turns, const Work& work) {
  const std::int64_t own = problem.own_blocks(), others = problem.other_blocks();
  const std::int64_t players = own + own % 2, half = players / 2,
                     rounds = players - 1;  // of an odd number, one sits out
  const std::int64_t among_own = own + rounds * half, all = among_own + own * others;
  const auto wait_for = [&](std::int64_t block, std::int32_t turn) {
    constexpr int kLooks =
        1000;  // before the thread sleeps: who plays may have been sent to sleep, too
    for (int look = 0; look < kLooks; ++look) {
      if (turns[block].load(std::memory_order_acquire) == turn) return;
    }
    for (std::int32_t seen = turns[block].load(std::memory_order_acquire); seen != turn;
         seen = turns[block].load(std::memory_order_acquire))
      turns[block].wait(seen, std::memory_order_acquire);
  };
  const auto end_turn = [&](std::int64_t block, std::int32_t turn) {
    turns[block].store(turn +
                       1);  // in one order with the look at who sleeps, or that might come first
    turns[block].notify_all();
  };
  for (std::int64_t pair = next.fetch_add(1, std::memory_order_relaxed); pair < all;
       pair = next.fetch_add(1, std::memory_order_relaxed)) {
    std::int64_t x = pair, y = pair;
    std::int32_t turn = 0;
    if (pair >= among_own) {
      const std::int64_t round = (pair - among_own) / own;
      x = (pair - among_own) % own;
      y = own + (x + round) % others;
      turn = static_cast<std::int32_t>(1 + rounds + round);
    } else if (pair >= own) {
      const std::int64_t round = (pair - own) / half, k = (pair - own) % half;
      x = k == 0 ? rounds : (round + k) % rounds;
      y = k == 0 ? round : (round - k + rounds) % rounds;
      turn = static_cast<std::int32_t>(1 + round);
      if (x > y) std::swap(x, y);
    }
    if (x < own) wait_for(x, turn);
    if (y < own && y != x) wait_for(y, turn);
    if (y < own || pair >= among_own) work(x, y);
    end_turn(x, turn);
    if (y < own && y != x) end_turn(y, turn);
  }
}

// Memory of a problem of at most so many rows, and what belongs to it.
template <typename T>
struct Rows {
  ContrastiveProblem<T> problem;
  std::int64_t capacity;             // whole tiles
  std::int64_t* places;              // of each row
  std::int64_t* row_at;              // of each place of this rank; where it has a row
  std::atomic<std::int32_t>* turns;  // of each block
  std::atomic<std::int64_t>* next;   // pair of blocks

  static std::int64_t whole_tiles(std::int64_t rows) {
    constexpr std::int64_t kTile = ContrastiveProblem<T>::kTile;
    return (rows + kTile - 1) / kTile * kTile;
  }

  Rows(Arena& arena, std::int64_t own, std::int64_t others, std::int64_t places_of_rank,
       std::int64_t channels, bool has_gradient, bool has_rivals)
      : capacity(whole_tiles(own) + whole_tiles(others)) {
    using A = typename ContrastiveProblem<T>::A;
    problem.channels = channels;
    problem.slots = arena.take<const T*>(capacity);
    problem.targets = arena.take<T*>(capacity);
    problem.units = arena.take<A>(capacity * problem.padded());
    problem.panels = arena.take<A>(capacity * channels);
    problem.slopes = has_gradient ? arena.take<A>(capacity * problem.padded()) : nullptr;
    problem.inverse_norms = arena.take<double>(capacity);
    problem.matches = arena.take<std::int64_t>(capacity);
    problem.match_cosines = arena.take<A>(capacity);
    problem.rivals = has_rivals ? arena.take<A>(capacity) : nullptr;
    problem.shifts = arena.take<A>(capacity);
    problem.sums = arena.take<double>(capacity);
    problem.incoming = arena.take<A>(capacity);
    problem.weights = arena.take<A>(capacity);
    problem.offsets = arena.take<A>(capacity);
    places = arena.take<std::int64_t>(capacity);
    row_at = arena.take<std::int64_t>(places_of_rank);
    problem.log_sums = arena.take<double>(capacity);
    turns = arena.take<std::atomic<std::int32_t>>(capacity / ContrastiveProblem<T>::kTile);
    next = arena.take<std::atomic<std::int64_t>>(1);
  }
};

// The loss and gradient of a problem, step by step; each step but the first and the last two may be
// shared among threads, part by part.
template <typename T>
class Computation {
  using A = typename ContrastiveProblem<T>::A;
  static constexpr std::int64_t kTile = ContrastiveProblem<T>::kTile;

 public:
  Computation(const Ranks<T>& ranks, const Wanted<T>& wanted, const cpu::KernelsOf<T>& kernels,
              Rows<T>& rows)
      : ranks_(ranks), wanted_(wanted), kernels_(kernels), rows_(rows), problem_(rows.problem) {
    // log2(e) / temperature. Powers that are shared must not come near those that stand for nothing
    // (kLeastExponent in cpu/contrastive_kernel.hpp).
    constexpr double kFarFromVanishing = sizeof(A) == 4 ? 64 : 900;
    // Not 0, which would leave nothing of what is no candidate, the cosine -inf.
    problem_.rate = std::max(static_cast<A>(1 / (kLn2 * wanted.options.temperature)),
                             std::numeric_limits<A>::min());
    problem_.shares_shift = 2 * static_cast<double>(problem_.rate) <= kFarFromVanishing;
    problem_.eps = wanted.options.eps;
  }

  // Takes the images for which is_good(rank, image) is true, of [begin, end).
  template <typename IsGood>
  void take(std::int64_t begin, std::int64_t end, const std::int64_t* matching,
            const IsGood& is_good) {
    problem_.own = 0;
    problem_.others = 0;
    take_rank(ranks_.rank, begin, end, is_good);
    const std::int64_t slots = ranks_.first.slots, images = ranks_.first.images;
    for (std::int64_t row = 0; row < problem_.own; ++row) {
      const std::int64_t place = rows_.places[row] % ranks_.losses(),
                         view = place / (images * slots), image = place / slots % images,
                         slot = place % slots;
      if (view == 1) continue;
      const std::int64_t match = rows_.row_at[place_of(1, image, matching[image * slots + slot])];
      problem_.matches[row] = match;
      problem_.matches[match] = row;
      if (!wanted_.results.gradient) continue;
      problem_.targets[row] = wanted_.results.gradient->slots.at(0, image, slot);
      problem_.targets[match] =
          wanted_.results.gradient->slots.at(1, image, matching[image * slots + slot]);
    }
    for (std::int64_t rank = 0; rank < ranks_.ranks; ++rank) {
      if (rank != ranks_.rank) take_rank(rank, begin, end, is_good);
    }
    // Blocks of few tiles keep threads busy, those of many read their rows less often.
    constexpr std::int64_t kFewRows = 4096, kManyRows = 16384;
    problem_.span = kTile * (problem_.own < kFewRows ? 1 : problem_.own < kManyRows ? 2 : 4);
    clear_beyond(problem_.own, problem_.first_other());
    if (problem_.others > 0) clear_beyond(problem_.end(), rows_.capacity);
  }

  void read(std::int64_t part, std::int64_t parts, void* memory) const {
    each_share(part, parts, problem_.own, 0, [&](std::int64_t begin, std::int64_t end) {
      kernels_.read_contrasted(problem_, begin, end, memory);
    });
    each_share(part, parts, problem_.others, problem_.first_other(),
               [&](std::int64_t begin, std::int64_t end) {
                 kernels_.read_contrasted(problem_, begin, end, memory);
               });
  }

  void start_pairs() {
    for (std::int64_t i = 0; i < rows_.capacity / kTile; ++i)
      new (rows_.turns + i) std::atomic<std::int32_t>(0);
    new (rows_.next) std::atomic<std::int64_t>(0);
  }
  void sum_pairs(void* memory) const {
    each_pair(problem_, *rows_.next, rows_.turns, [&](std::int64_t x, std::int64_t y) {
      kernels_.sum_contrasted(problem_, x, y, memory);
    });
  }
  void slope_pairs(void* memory) const {
    each_pair(problem_, *rows_.next, rows_.turns, [&](std::int64_t x, std::int64_t y) {
      kernels_.slope_contrasted(problem_, x, y, memory);
    });
  }

  // log(1 + sum * 2^exponent)
  static double log_of_one_and(double sum, double exponent) {
    const double product = sum * std::exp2(exponent);
    if (sum == 0 || product <= std::numeric_limits<double>::max())
      return sum == 0 ? 0 : std::log1p(product);
    return std::log(sum) + kLn2 * exponent;
  }

  // From the sums to losses [2BS] of the rank, and log_sums [2BS] where they are asked for. Returns
  // how many rows resemble their match most.
  std::int64_t finish_losses(double* losses) const {
    std::int64_t right = 0;
    const auto rate = static_cast<double>(problem_.rate);
    for (std::int64_t row = 0; row < problem_.own; ++row) {
      const double shift = static_cast<double>(problem_.shares_shift ? problem_.rate
                                                                     : problem_.shifts[row]),
                   match = rate * static_cast<double>(problem_.match_cosines[row]);
      const std::int64_t place = rows_.places[row] % ranks_.losses();
      losses[place] = log_of_one_and(problem_.sums[row], shift - match);
      problem_.log_sums[row] = kLn2 * match + losses[place];
      if (wanted_.results.log_sums) wanted_.results.log_sums[place] = problem_.log_sums[row];
      if (problem_.rivals && problem_.match_cosines[row] > problem_.rivals[row]) ++right;
    }
    return right;
  }

  // The log_sums that the caller has kept.
  void take_log_sums() const {
    each_row(
        [&](std::int64_t row) { problem_.log_sums[row] = wanted_.log_sums[rows_.places[row]]; });
  }

  // What each row weighs in the gradient of the others. Gradients that come in are brought to
  // magnitudes of 1 at most, so that none vanishes on the way.
  void weigh() {
    double largest = 0;
    each_row([&](std::int64_t row) {
      const double magnitude = std::abs(incoming(rows_.places[row]));
      if (magnitude > largest && magnitude <= std::numeric_limits<double>::max())
        largest = magnitude;
    });
    if (largest == 0) largest = 1;
    factor_ = {largest, wanted_.options.temperature};
    const auto rate = static_cast<double>(problem_.rate);
    each_row([&](std::int64_t row) {
      const double relative = incoming(rows_.places[row]) / largest;
      problem_.incoming[row] = static_cast<A>(relative);
      problem_.weights[row] = static_cast<A>(
          problem_.shares_shift ? relative * std::exp(kLn2 * rate - problem_.log_sums[row])
                                : relative);
      problem_.offsets[row] = static_cast<A>(rate - problem_.log_sums[row] / kLn2);
    });
  }

  void write_gradient(std::int64_t part, std::int64_t parts, void* memory) const {
    each_share(part, parts, problem_.own, 0, [&](std::int64_t begin, std::int64_t end) {
      kernels_.write_contrasted(problem_, begin, end, factor_, memory);
    });
  }

 private:
  std::int64_t place_of(std::int64_t view, std::int64_t image, std::int64_t slot) const {
    return (view * ranks_.first.images + image) * ranks_.first.slots + slot;
  }

  template <typename IsGood>
  void take_rank(std::int64_t rank, std::int64_t begin, std::int64_t end, const IsGood& is_good) {
    const bool is_own = rank == ranks_.rank;
    const SlotPairs<const T> slots = ranks_.slots_of(rank);
    for (std::int64_t view = 0; view < 2; ++view) {
      for (std::int64_t image = begin; image < end; ++image) {
        if (!is_good(rank, image)) continue;
        for (std::int64_t slot = 0; slot < slots.slots; ++slot) {
          const std::int64_t row =
              is_own ? problem_.own++ : problem_.first_other() + problem_.others++;
          const std::int64_t place = place_of(view, image, slot);
          problem_.slots[row] = slots.at(view, image, slot);
          rows_.places[row] = rank * ranks_.losses() + place;
          if (is_own) rows_.row_at[place] = row;
        }
      }
    }
    if (!is_own) return;
    const A shift = -2 * problem_.rate;  // below any cosine's
    std::fill_n(problem_.sums, Rows<T>::whole_tiles(problem_.own), 0.0);
    std::fill_n(problem_.shifts, Rows<T>::whole_tiles(problem_.own), shift);
    if (problem_.rivals) std::fill_n(problem_.rivals, problem_.own, A(-2));
    if (problem_.slopes)
      std::fill_n(problem_.slopes, Rows<T>::whole_tiles(problem_.own) * problem_.padded(), A(0));
  }

  // Rows that stand for nothing.
  void clear_beyond(std::int64_t begin, std::int64_t end) {
    if (begin >= end) return;
    std::fill(problem_.units + begin * problem_.padded(), problem_.units + end * problem_.padded(),
              A(0));
    std::fill(problem_.panels + begin / kTile * kTile * problem_.channels,
              problem_.panels + end * problem_.channels, A(0));
    std::fill(problem_.weights + begin, problem_.weights + end, A(0));
    std::fill(problem_.offsets + begin, problem_.offsets + end, A(0));
    std::fill(problem_.matches + begin, problem_.matches + end, std::int64_t{-1});
  }

  template <typename Work>
  static void each_share(std::int64_t part, std::int64_t parts, std::int64_t rows,
                         std::int64_t first, const Work& work) {
    const std::int64_t tiles = (rows + kTile - 1) / kTile;
    const std::int64_t begin = share_begin(tiles, part, parts) * kTile,
                       end = std::min(share_begin(tiles, part + 1, parts) * kTile, rows);
    if (begin < end) work(first + begin, first + end);
  }

  template <typename Work>
  void each_row(const Work& work) const {
    for (std::int64_t row = 0; row < problem_.own; ++row) work(row);
    for (std::int64_t row = problem_.first_other(); row < problem_.end(); ++row) work(row);
  }

  // The gradient that comes in for the loss at a place.
  double incoming(std::int64_t place) const {
    const T* const given = wanted_.results.gradient->incoming;
    const bool per_slot = wanted_.options.reduction == Reduction::none;
    const double value =
        given ? cpu::to_double(given[per_slot ? place : place / ranks_.losses()]) : 1;
    return wanted_.options.reduction == Reduction::mean
               ? value / static_cast<double>(ranks_.losses())
               : value;
  }

  const Ranks<T>& ranks_;
  const Wanted<T>& wanted_;
  const cpu::KernelsOf<T>& kernels_;
  Rows<T>& rows_;
  ContrastiveProblem<T>& problem_;
  cpu::Ratio factor_;  // of the gradient
};

template <typename T>
Status check_options(const MatchingContrastiveOptions& options) noexcept {
  using A = typename cpu::Computed<T>::Type;
  const double rate = 1 / (kLn2 * options.temperature);
  if (options.temperature > 0 && options.temperature <= std::numeric_limits<double>::max() &&
      4 * rate <= static_cast<double>(std::numeric_limits<A>::max()))
    return check_eps(options.eps);
  return Status(StatusCode::invalid_argument, -1,
                "temperature is %g: it must be positive and finite%s", options.temperature,
                options.temperature > 0 && options.temperature < 1
                    ? ", and so must its inverse be in the type that is computed in"
                    : "");
}

template <typename T>
Status check_results(const SlotPairs<const T>& slots,
                     const MatchingContrastiveResults<T>& results) noexcept {
  if (!results.gradient) return {};
  return first_failure(
      [&] { return try_check(results.gradient->slots, "the gradient"); },
      [&] { return check_same_sizes("slots", slots, "the gradient", results.gradient->slots); });
}

Status check_kept(const std::int64_t* matching, const double* log_sums) noexcept {
  if (matching && log_sums) return {};
  return Status(StatusCode::invalid_argument, -1, "the pointer to the %s is null",
                matching ? "log_sums" : "matching");
}

// Memory for all, and how it is used.
template <typename T>
class Call {
  using A = typename ContrastiveProblem<T>::A;

 public:
  Call(const Ranks<T>& ranks, const Wanted<T>& wanted, const cpu::KernelsOf<T>& kernels)
      : ranks_(ranks), wanted_(wanted), kernels_(kernels), slots_(ranks.slots_of(ranks.rank)) {}

  Status run() noexcept {
    const MatchingContrastiveOptions& options = wanted_.options;
    const std::int64_t* const given = wanted_.matching ? wanted_.matching : options.given_matching;
    Status status;
    if (given) status = check_matching(given, slots_.images, slots_.slots, options.workspace);
    if (options.given_matching && ranks_.ranks > 1 && status.ok()) status = check_left_out(given);
    for (std::int64_t rank = 0;
         rank < ranks_.ranks && status.ok() && options.on_nonfinite == NonFinite::raise; ++rank) {
      const SlotPairs<const T>* const none = nullptr;
      status =
          check_finite(ranks_.slots_of(rank), "slots", none, options.executor, options.workspace);
    }
    if (!status.ok()) return status;
    return guarded([&] { return compute(given); });
  }

  // Other ranks cannot know of an image that is left out though it is finite.
  Status check_left_out(const std::int64_t* given) const noexcept {
    for (std::int64_t image = 0; image < slots_.images; ++image) {
      if (given[image * slots_.slots] >= 0 ||
          !cpu::image_is_finite(rows_of(slots_), slots_.slots, slots_.channels, image))
        continue;
      return Status(
          StatusCode::invalid_argument, image,
          "matching: row %lld is -1, but the image is finite and so a candidate of the other ranks",
          static_cast<long long>(image));
    }
    return {};
  }

  // The bytes of a call that asks for everything.
  static std::size_t bytes(const Ranks<T>& ranks, Candidates candidates, int threads) noexcept {
    const MatchingContrastiveOptions options{.candidates = candidates};
    MatchingContrastiveResults<T> everything;
    double accuracy = 0;
    everything.gradient.emplace();
    everything.accuracy = &accuracy;
    Status status;
    const cpu::Kernels* const table = cpu::kernels(status);
    if (!table) return 0;
    Call call(ranks, {options, everything}, cpu::kernels_of<T>(*table));
    call.crew_.parts = call.matching_crew_.parts = std::max(threads, 1);
    Arena needed;
    call.lay_out(needed);
    return Arena::plus(needed.used(), kMemoryAlignment - 1);
  }

 private:
  bool by_image() const { return wanted_.options.candidates == Candidates::image; }

  Rows<T> take_rows(Arena& arena) const {
    const std::int64_t rows = by_image() ? 2 * slots_.slots : ranks_.losses();
    return Rows<T>(arena, rows, by_image() ? 0 : rows * (ranks_.ranks - 1), ranks_.losses(),
                   slots_.channels, wanted_.results.gradient.has_value(),
                   wanted_.results.accuracy != nullptr);
  }

  std::size_t part_bytes() const {
    Arena arena;
    if (by_image()) take_rows(arena);
    return Arena::plus(arena.used(), cpu::kContrastiveMemory);
  }

  Batch matching_batch() const {
    return osc::matching_batch(slots_.images, slots_.slots, slots_.channels, kernels_);
  }

  void lay_out(Arena& arena) {
    matching_ = arena.take<std::int64_t>(slots_.images * slots_.slots);
    good_ = arena.take<bool>(ranks_.ranks * slots_.images);
    losses_ = arena.take<double>(ranks_.losses());
    right_ = arena.take<std::int64_t>(slots_.images);
    matching_memory_bytes_ = batch_bytes(matching_batch(), matching_crew_.parts);
    matching_memory_ = arena.take<char>(static_cast<std::int64_t>(matching_memory_bytes_));
    parts_memory_ = arena.take<char>(static_cast<std::int64_t>(
        Arena::aligned_product(part_bytes(), static_cast<std::size_t>(crew_.parts))));
    if (!by_image()) rows_.emplace(take_rows(arena));
  }

  Status compute(const std::int64_t* given) {
    const MatchingContrastiveOptions& options = wanted_.options;
    const auto losses = static_cast<double>(ranks_.losses()),
               candidates = by_image() ? 2.0 * static_cast<double>(slots_.slots)
                                       : losses * static_cast<double>(ranks_.ranks);
    crew_ = crew_for(2 * losses * candidates * static_cast<double>(slots_.channels + 8),
                     by_image() ? slots_.images : std::numeric_limits<std::int32_t>::max(),
                     options.executor);
    matching_crew_ = crew_for(matching_batch(), options.executor);
    Workspace own_workspace;
    Status status =
        lay_out_memory(options.workspace, own_workspace, [&](Arena& arena) { lay_out(arena); });
    if (!status.ok()) return status;

    if (given) {
      std::copy_n(given, slots_.images * slots_.slots, matching_);
    } else {
      Workspace matching_workspace(matching_memory_, matching_memory_bytes_);
      status = match_checked_slots(slots_, options.eps, kernels_, matching_crew_,
                                   &matching_workspace, {.matching = matching_});
      if (!status.ok()) return status;
    }
    find_good_images();
    std::fill_n(right_, slots_.images, std::int64_t{0});
    if (by_image()) {
      compute_images();
    } else {
      compute_batch();
    }
    write_results();
    return {};
  }

  bool is_good(std::int64_t rank, std::int64_t image) const {
    return good_[rank * slots_.images + image];
  }

  // Those without a NaN or an infinity, and with a matching.
  void find_good_images() {
    const std::int64_t count = ranks_.ranks * slots_.images;
    on_parts(crew_, [&](std::int64_t part) {
      for (std::int64_t i = share_begin(count, part, crew_.parts);
           i < share_begin(count, part + 1, crew_.parts); ++i) {
        const std::int64_t rank = i / slots_.images, image = i % slots_.images;
        const bool unmatched = rank == ranks_.rank && matching_[image * slots_.slots] < 0;
        good_[i] = !unmatched && cpu::image_is_finite(rows_of(ranks_.slots_of(rank)), slots_.slots,
                                                      slots_.channels, image);
      }
    });
  }

  void* memory_of(std::int64_t part) const {
    return parts_memory_ + static_cast<std::size_t>(part) * part_bytes();
  }

  void compute_batch() {
    Computation<T> computation(ranks_, wanted_, kernels_, *rows_);
    computation.take(0, slots_.images, matching_,
                     [&](std::int64_t rank, std::int64_t image) { return is_good(rank, image); });
    on_parts(crew_,
             [&](std::int64_t part) { computation.read(part, crew_.parts, memory_of(part)); });
    if (wanted_.log_sums) {
      computation.take_log_sums();
    } else {
      computation.start_pairs();
      on_parts(crew_, [&](std::int64_t part) { computation.sum_pairs(memory_of(part)); });
      right_[0] = computation.finish_losses(losses_);
    }
    if (!wanted_.results.gradient) return;
    computation.weigh();
    computation.start_pairs();
    on_parts(crew_, [&](std::int64_t part) { computation.slope_pairs(memory_of(part)); });
    on_parts(crew_, [&](std::int64_t part) {
      computation.write_gradient(part, crew_.parts, memory_of(part));
    });
  }

  void compute_images() {
    std::atomic<std::int64_t> next = 0;
    on_parts(crew_, [&](std::int64_t part) {
      void* const tile_memory = memory_of(part);
      Arena arena(static_cast<char*>(tile_memory) + cpu::kContrastiveMemory);
      Rows<T> rows = take_rows(arena);
      Computation<T> computation(ranks_, wanted_, kernels_, rows);
      for (std::int64_t image = next.fetch_add(1, std::memory_order_relaxed); image < slots_.images;
           image = next.fetch_add(1, std::memory_order_relaxed)) {
        if (!is_good(0, image)) continue;
        computation.take(image, image + 1, matching_,
                         [](std::int64_t, std::int64_t) { return true; });
        computation.read(0, 1, tile_memory);
        if (wanted_.log_sums) {
          computation.take_log_sums();
        } else {
          computation.start_pairs();
          computation.sum_pairs(tile_memory);
          right_[image] = computation.finish_losses(losses_);
        }
        if (!wanted_.results.gradient) continue;
        computation.weigh();
        computation.start_pairs();
        computation.slope_pairs(tile_memory);
        computation.write_gradient(0, 1, tile_memory);
      }
    });
  }

  // Those of images that are not good are written here; then what is a sum over images.
  void write_results() const {
    const MatchingContrastiveResults<T>& results = wanted_.results;
    const std::int64_t slots = slots_.slots, images = slots_.images, losses = ranks_.losses();
    std::int64_t good_images = 0;
    for (std::int64_t image = 0; image < images; ++image) {
      const bool good = is_good(ranks_.rank, image);
      if (results.statuses)
        results.statuses[image] = good ? ImageStatus::ok : ImageStatus::nonfinite;
      if (good) {
        ++good_images;
        continue;
      }
      for (std::int64_t slot = 0; slot < slots; ++slot) {
        matching_[image * slots + slot] = -1;
        for (std::int64_t view = 0; view < 2; ++view) {
          const std::int64_t place = (view * images + image) * slots + slot;
          losses_[place] = kNaN;
          if (results.log_sums) results.log_sums[place] = kNaN;
          if (results.gradient)
            std::fill_n(results.gradient->slots.at(view, image, slot), slots_.channels,
                        cpu::from_double<T>(kNaN));
        }
      }
    }
    if (results.matching) std::copy_n(matching_, images * slots, results.matching);
    if (results.accuracy)
      *results.accuracy =
          static_cast<double>(std::accumulate(right_, right_ + images, std::int64_t{0})) /
          static_cast<double>(2 * good_images * slots);
    if (!results.loss) return;
    if (wanted_.options.reduction == Reduction::none) {
      std::transform(losses_, losses_ + losses, results.loss,
                     [](double loss) { return cpu::from_double<T>(loss); });
      return;
    }
    double sum = 0;
    for (std::int64_t place = 0; place < losses; ++place) sum += losses_[place];
    *results.loss = cpu::from_double<T>(
        wanted_.options.reduction == Reduction::mean ? sum / static_cast<double>(losses) : sum);
  }

  const Ranks<T> ranks_;
  const Wanted<T> wanted_;
  const cpu::KernelsOf<T>& kernels_;
  const SlotPairs<const T> slots_;  // of this rank
  Crew crew_, matching_crew_;
  std::int64_t* matching_ = nullptr;  // [B, S]
  bool* good_ = nullptr;              // [ranks, B]
  double* losses_ = nullptr;          // [2BS]
  std::int64_t* right_ =
      nullptr;  // slots that resemble their match most: [B], or the first for all
  char* matching_memory_ = nullptr;
  std::size_t matching_memory_bytes_ = 0;
  char* parts_memory_ = nullptr;
  std::optional<Rows<T>> rows_;
};

// Where there is no slot at all.
template <typename T>
void write_nothing(const SlotPairs<const T>& slots, Reduction reduction,
                   const MatchingContrastiveResults<T>& results) {
  if (results.statuses) std::fill_n(results.statuses, slots.images, ImageStatus::ok);
  if (results.accuracy) *results.accuracy = kNaN;
  if (results.loss && reduction != Reduction::none)
    *results.loss = cpu::from_double<T>(reduction == Reduction::mean ? kNaN : 0.0);
}

template <typename T>
Status compute(const Ranks<T>& ranks, const Wanted<T>& wanted) noexcept {
  const SlotPairs<const T> slots = ranks.slots_of(ranks.rank);
  Status status = first_failure([&] { return check_options<T>(wanted.options); },
                                [&] { return check_results(slots, wanted.results); });
  const cpu::Kernels* const table = status.ok() ? cpu::kernels(status) : nullptr;
  if (!table) return status;
  if (ranks.losses() == 0) {
    write_nothing(slots, wanted.options.reduction, wanted.results);
    return status;
  }
  return Call<T>(ranks, wanted, cpu::kernels_of<T>(*table)).run();
}

template <typename T>
Status ranks_of(const GatheredSlots<T>& slots, const MatchingContrastiveOptions& options,
                Ranks<T>& ranks) noexcept {
  if (slots.ranks < 1 || slots.rank < 0 || slots.rank >= slots.ranks) {
    return Status(StatusCode::invalid_argument, -1,
                  "rank %lld of %lld: it must be one of 0 … ranks - 1",
                  static_cast<long long>(slots.rank), static_cast<long long>(slots.ranks));
  }
  if (options.candidates != Candidates::batch) {
    return Status(
        StatusCode::invalid_argument, -1,
        "gathered slots are candidates of all ranks: Candidates::image needs no gathering");
  }
  // As one batch of all ranks' images: the sizes must not overflow either.
  std::int64_t images = 0;
  if (__builtin_mul_overflow(slots.images, slots.ranks, &images)) {
    return Status(StatusCode::invalid_argument, -1,
                  "slots [%lld, 2*%lld, %lld, %lld]: the product of the sizes overflows",
                  static_cast<long long>(slots.ranks), static_cast<long long>(slots.images),
                  static_cast<long long>(slots.slots), static_cast<long long>(slots.channels));
  }
  const std::int64_t image_stride = static_cast<std::int64_t>(
      static_cast<std::uint64_t>(slots.slots) * static_cast<std::uint64_t>(slots.channels));
  const Status status =
      try_check(SlotPairs<const T>{slots.data, images, slots.slots, slots.channels, 0, 0, 0},
                "slots of all ranks");
  if (!status.ok()) return status;
  ranks = {{slots.data, slots.images, slots.slots, slots.channels, slots.images * image_stride,
            image_stride, slots.channels},
           slots.ranks,
           slots.rank,
           2 * slots.images * image_stride};
  return {};
}

}  // namespace

namespace detail {

template <typename T>
Status contrastive_loss(const SlotPairs<const T>& slots, const MatchingContrastiveOptions& options,
                        const MatchingContrastiveResults<T>& results) noexcept {
  const UsualArithmetic usual;
  const Status status = try_check(slots, "slots");
  return status.ok() ? compute<T>({slots, 1, 0, 0}, {options, results}) : status;
}

template <typename T>
Status contrastive_gradient(const SlotPairs<const T>& slots, const std::int64_t* matching,
                            const double* log_sums, const MatchingContrastiveOptions& options,
                            const ContrastiveGradient<T>& gradient) noexcept {
  const UsualArithmetic usual;
  Status status = try_check(slots, "slots");
  if (status.ok() && slots.images > 0 && slots.slots > 0) status = check_kept(matching, log_sums);
  return status.ok()
             ? compute<T>({slots, 1, 0, 0}, {options, {.gradient = gradient}, matching, log_sums})
             : status;
}

template <typename T>
Status gathered_contrastive_loss(const GatheredSlots<T>& slots,
                                 const MatchingContrastiveOptions& options,
                                 const MatchingContrastiveResults<T>& results) noexcept {
  const UsualArithmetic usual;
  Ranks<T> ranks{};
  Status status = ranks_of(slots, options, ranks);
  if (status.ok() && results.gradient)
    status = Status(StatusCode::invalid_argument, -1,
                    "the gradient of gathered slots takes the log_sums of all ranks: ask the "
                    "backward call for it");
  return status.ok() ? compute<T>(ranks, {options, results}) : status;
}

template <typename T>
Status gathered_contrastive_gradient(const GatheredSlots<T>& slots, const std::int64_t* matching,
                                     const double* log_sums,
                                     const MatchingContrastiveOptions& options,
                                     const ContrastiveGradient<T>& gradient) noexcept {
  const UsualArithmetic usual;
  Ranks<T> ranks{};
  Status status = ranks_of(slots, options, ranks);
  if (status.ok() && ranks.losses() > 0) status = check_kept(matching, log_sums);
  return status.ok() ? compute<T>(ranks, {options, {.gradient = gradient}, matching, log_sums})
                     : status;
}

}  // namespace detail

std::pair<double, double> matching_contrastive_loss_best_worst(std::int64_t images,
                                                               std::int64_t slots,
                                                               double temperature) {
  if (images < 1 || slots < 1)
    throw InvalidArgument("B = " + std::to_string(images) + ", S = " + std::to_string(slots) +
                          ": both must be at least 1");
  raise_unless_ok(check_options<double>({.temperature = temperature}));
  const double others = 2 * static_cast<double>(images) * static_cast<double>(slots) - 2;
  // log(exp(1/t) + others) - 1/t, without the exponential of a large number.
  return {std::log1p(others * std::exp(-1 / temperature)), std::log(others + 1)};
}

template <typename T>
std::size_t matching_contrastive_workspace(std::int64_t images, std::int64_t slots,
                                           std::int64_t channels, std::int64_t ranks,
                                           Candidates candidates, int threads) noexcept {
  if (images < 1 || slots < 1 || channels < 0 || ranks < 1) return 0;
  constexpr std::int64_t kBytesOfAnElement = 1024;  // more than it takes with all that is kept of a
                                                    // row, and what whole tiles and vectors add
  const auto rows = product({2, images, slots, ranks});
  if (!rows || channels > kMaxBytes / kBytesOfAnElement ||
      !product({*rows, channels + 1, kBytesOfAnElement}) ||
      !product({slots, slots, kBytesOfAnElement}))
    return 0;
  const Ranks<T> all{{nullptr, images, slots, channels, 0, 0, 0}, ranks, 0, 0};
  return Call<T>::bytes(all, candidates, threads);
}

#define OSC_INSTANTIATE(T)                                                                         \
  template OSC_API Status detail::contrastive_loss(const SlotPairs<const T>&,                      \
                                                   const MatchingContrastiveOptions&,              \
                                                   const MatchingContrastiveResults<T>&) noexcept; \
  template OSC_API Status detail::contrastive_gradient(                                            \
      const SlotPairs<const T>&, const std::int64_t*, const double*,                               \
      const MatchingContrastiveOptions&, const ContrastiveGradient<T>&) noexcept;                  \
  template OSC_API Status detail::gathered_contrastive_loss(                                       \
      const GatheredSlots<T>&, const MatchingContrastiveOptions&,                                  \
      const MatchingContrastiveResults<T>&) noexcept;                                              \
  template OSC_API Status detail::gathered_contrastive_gradient(                                   \
      const GatheredSlots<T>&, const std::int64_t*, const double*,                                 \
      const MatchingContrastiveOptions&, const ContrastiveGradient<T>&) noexcept;                  \
  template OSC_API std::size_t matching_contrastive_workspace<T>(                                  \
      std::int64_t, std::int64_t, std::int64_t, std::int64_t, Candidates, int) noexcept;
OSC_FOR_EACH_ELEMENT_TYPE(OSC_INSTANTIATE)
#undef OSC_INSTANTIATE

}  // namespace osc
