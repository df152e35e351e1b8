#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <new>
#include <numeric>
#include <optional>
#include <utility>

#include "contrastive/task.hpp"
#include "runtime/call.hpp"
#include "runtime/finite.hpp"
#include "runtime/plan.hpp"
#include "runtime/sizes.hpp"
#include "simd/vector_math.hpp"
#include "similarity/matching.hpp"

namespace osc::cpu {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// A call. The place of a slot is its index in [R, 2, B, S]; without ranks, R is 1.
template <typename T>
struct Request {
  View<const T, 5> slots;  // [R, 2, B, S, C]
  std::int64_t rank;       // whose losses are wanted
  bool by_image;           // Candidates::image
  double temperature, eps;
  std::int32_t reduction, on_nonfinite;
  Executor* executor;
  Workspace* workspace;
  const std::int64_t* given_matching;  // null: to be found
  const double* given_log_sum_exp;     // null: to be found
  T* loss;
  std::int64_t* matching;
  double* log_sum_exp;
  float* accuracy;
  ImageStatus* statuses;
  const T* grad_output;
  View<T, 4> grad_slots;

  template <typename Call>
  Request(const Call& call, const View<const T, 5>& all, std::int64_t this_rank, bool within_images)
      : slots(all),
        rank(this_rank),
        by_image(within_images),
        temperature(or_default(call.temperature, 1)),
        eps(or_default(call.eps, 1e-10)),
        reduction(call.reduction),
        on_nonfinite(call.on_nonfinite),
        executor(call.executor),
        workspace(call.workspace),
        given_matching(elements<const std::int64_t>(call.given_matching)),
        given_log_sum_exp(elements<const double>(call.given_log_sum_exp)),
        loss(elements<T>(call.loss)),
        matching(elements<std::int64_t>(call.matching)),
        log_sum_exp(elements<double>(call.log_sum_exp)),
        accuracy(elements<float>(call.accuracy)),
        statuses(elements<ImageStatus>(call.statuses)),
        grad_output(elements<const T>(call.grad_output)),
        grad_slots(gradient_view<T, 4>(call.grad_slots, slice(all, 0, 0), 0)) {}

  std::int64_t ranks() const { return slots.sizes[0]; }
  std::int64_t images() const { return slots.sizes[2]; }
  std::int64_t slots_of_view() const { return slots.sizes[3]; }
  std::int64_t channels() const { return slots.sizes[4]; }
  std::int64_t losses() const { return 2 * images() * slots_of_view(); }  // of a rank
  std::int64_t place(std::int64_t view, std::int64_t image, std::int64_t slot) const {
    return (view * images() + image) * slots_of_view() + slot;
  }
  View<const T, 4> slots_of(std::int64_t r) const { return slice(slots, 0, r); }
};

// Calls work(x, y) for all pairs of blocks of the task, x <= y, of which x is one of the own.
// Several threads may call this at once, with the same `next` and `turns` (an element a block),
// which start as zeros: each pair is then one thread's.
//
// The pairs are played as in a tournament: in each round every block meets one other. A block plays
// its rounds in order, whichever thread comes to them, so that sums have the same bits with any
// number of threads. A thread that takes a pair waits for both blocks to have played their rounds
// before; as pairs are taken in order, those are being played.
template <typename Task, typename Work>
void each_pair(const Task& task, std::atomic<std::int64_t>& next, std::atomic<std::int32_t>* turns,
               const Work& work) {
  const std::int64_t own = task.own_blocks, others = task.other_blocks;
  const std::int64_t players = own + own % 2, half = players / 2,
                     rounds = players - 1;  // of an odd number, one sits out
  const std::int64_t among_own = own + rounds * half, all = among_own + own * others;
  const auto wait_for = [&](std::int64_t block, std::int32_t turn) {
    // A thread looks this often before it sleeps: who plays may have been sent to sleep, too.
    constexpr int kLooks = 1000;
    for (int look = 0; look < kLooks; ++look) {
      if (turns[block].load(std::memory_order_acquire) == turn) return;
    }
    for (std::int32_t seen = turns[block].load(std::memory_order_acquire); seen != turn;
         seen = turns[block].load(std::memory_order_acquire))
      turns[block].wait(seen, std::memory_order_acquire);
  };
  const auto end_turn = [&](std::int64_t block, std::int32_t turn) {
    // Sequentially consistent with the look at who sleeps, which might come first otherwise.
    turns[block].store(turn + 1);
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

// Memory of a task of at most so many rows, and what belongs to it.
template <typename T>
struct Rows {
  using Task = ContrastiveTask<T>;

  Task task;
  std::int64_t capacity;             // whole tiles
  std::int64_t* places;              // of each row
  std::int64_t* row_at;              // of each place of this rank; if it has a row
  std::atomic<std::int32_t>* turns;  // of each block
  std::atomic<std::int64_t>* next;   // pair of blocks

  static std::int64_t whole_tiles(std::int64_t rows) {
    return (rows + Task::kTile - 1) / Task::kTile * Task::kTile;
  }

  Rows(Arena& arena, const Request<T>& request)
      : capacity(request.by_image ? whole_tiles(2 * request.slots_of_view())
                                  : whole_tiles(request.losses()) +
                                        whole_tiles(request.losses() * (request.ranks() - 1))) {
    using A = typename Task::A;
    task.channels = request.channels();
    task.padded = (task.channels + 15) / 16 * 16;
    task.slots = arena.take<const T*>(capacity);
    task.targets = arena.take<T*>(capacity);
    task.units = arena.take<A>(capacity, task.padded);
    task.panels = arena.take<A>(capacity, task.channels);
    if (request.grad_slots.data) task.unit_gradients = arena.take<A>(capacity, task.padded);
    task.inverse_norms = arena.take<double>(capacity);
    task.positives = arena.take<std::int64_t>(capacity);
    task.positive_similarities = arena.take<A>(capacity);
    if (request.accuracy) task.hardest_negatives = arena.take<A>(capacity);
    task.running_maxima = arena.take<A>(capacity);
    task.sums = arena.take<double>(capacity);
    task.log_sum_exps = arena.take<double>(capacity);
    task.grad_outputs = arena.take<A>(capacity);
    task.weights = arena.take<A>(capacity);
    task.offsets = arena.take<A>(capacity);
    places = arena.take<std::int64_t>(capacity);
    row_at = arena.take<std::int64_t>(request.losses());
    turns = arena.take<std::atomic<std::int32_t>>(capacity / Task::kTile);
    next = arena.take<std::atomic<std::int64_t>>(1);
  }
};

// The loss and gradient of a task, step by step; each step but the first and the last two may be
// shared among threads, part by part.
template <typename T>
class Computation {
  using A = typename ContrastiveTask<T>::A;
  static constexpr std::int64_t kTile = ContrastiveTask<T>::kTile;

 public:
  Computation(const Request<T>& request, const ContrastiveKernels<T>& kernels, Rows<T>& rows)
      : request_(request), kernels_(kernels), rows_(rows), task_(rows.task) {
    // Powers of a shared maximum must not come near those that the kernels take for zero
    // (kLeastExponent).
    constexpr double kFarFromVanishing = sizeof(A) == 4 ? 64 : 900;
    // Not 0, which would leave nothing of what is no candidate, the cosine -inf.
    task_.exponent_scale =
        std::max(static_cast<A>(1 / (kLn2 * request.temperature)), std::numeric_limits<A>::min());
    task_.shares_maximum = 2 * static_cast<double>(task_.exponent_scale) <= kFarFromVanishing;
    task_.eps = request.eps;
  }

  // Takes the images for which is_masked(rank, image) is false, of [begin, end).
  template <typename IsMasked>
  void take(std::int64_t begin, std::int64_t end, const std::int64_t* matching,
            const IsMasked& is_masked) {
    task_.own = take_rank(request_.rank, begin, end, 0, is_masked);
    task_.first_other = Rows<T>::whole_tiles(task_.own);
    start_own_rows();
    const std::int64_t slots = request_.slots_of_view(), images = request_.images();
    for (std::int64_t row = 0; row < task_.own; ++row) {
      const std::int64_t place = rows_.places[row] % request_.losses(),
                         view = place / (images * slots), image = place / slots % images,
                         slot = place % slots;
      if (view == 1) continue;
      const std::int64_t match = matching[image * slots + slot],
                         positive = rows_.row_at[request_.place(1, image, match)];
      task_.positives[row] = positive;
      task_.positives[positive] = row;
      if (!request_.grad_slots.data) continue;
      task_.targets[row] = slot_of(request_.grad_slots, 0, image, slot);
      task_.targets[positive] = slot_of(request_.grad_slots, 1, image, match);
    }
    task_.others = 0;
    for (std::int64_t rank = 0; rank < request_.ranks(); ++rank) {
      if (rank != request_.rank)
        task_.others += take_rank(rank, begin, end, task_.first_other + task_.others, is_masked);
    }
    task_.end = task_.others > 0 ? task_.first_other + task_.others : task_.own;
    // Blocks of few tiles keep threads busy, those of many read their rows less often.
    constexpr std::int64_t kFewRows = 4096, kManyRows = 16384;
    task_.span = kTile * (task_.own < kFewRows ? 1 : task_.own < kManyRows ? 2 : 4);
    task_.own_blocks = (task_.own + task_.span - 1) / task_.span;
    task_.other_blocks = (task_.others + task_.span - 1) / task_.span;
    clear_beyond(task_.own, task_.first_other);
    if (task_.others > 0) clear_beyond(task_.end, rows_.capacity);
  }

  void read(std::int64_t part, std::int64_t parts, void* memory) const {
    const auto read_rows = [&](std::int64_t begin, std::int64_t end) {
      kernels_.read(task_, begin, end, memory);
    };
    with_share(part, parts, 0, task_.own, read_rows);
    with_share(part, parts, task_.first_other, task_.others, read_rows);
  }

  void start_pairs() {
    for (std::int64_t i = 0; i < rows_.capacity / kTile; ++i)
      new (rows_.turns + i) std::atomic<std::int32_t>(0);
    new (rows_.next) std::atomic<std::int64_t>(0);
  }
  void add_log_sum_exps(void* memory) const {
    each_pair(task_, *rows_.next, rows_.turns, [&](std::int64_t x, std::int64_t y) {
      kernels_.log_sum_exp_tiles(task_, x, y, memory);
    });
  }
  void add_gradients(void* memory) const {
    each_pair(task_, *rows_.next, rows_.turns, [&](std::int64_t x, std::int64_t y) {
      kernels_.gradient_tiles(task_, x, y, memory);
    });
  }

  // From the sums to losses [2BS] of the rank, and log_sum_exp [2BS] if it is wanted. Returns how
  // many rows have no negative as near as their positive.
  std::int64_t finish_losses(double* losses) const {
    std::int64_t accurate = 0;
    const auto scale = static_cast<double>(task_.exponent_scale);
    for (std::int64_t row = 0; row < task_.own; ++row) {
      const double maximum = static_cast<double>(task_.shares_maximum ? task_.exponent_scale
                                                                      : task_.running_maxima[row]),
                   positive = scale * static_cast<double>(task_.positive_similarities[row]);
      const std::int64_t place = rows_.places[row] % request_.losses();
      losses[place] = log_of_one_and(task_.sums[row], maximum - positive);
      task_.log_sum_exps[row] = kLn2 * positive + losses[place];
      if (request_.log_sum_exp) request_.log_sum_exp[place] = task_.log_sum_exps[row];
      if (task_.hardest_negatives)
        accurate += task_.positive_similarities[row] > task_.hardest_negatives[row];
    }
    return accurate;
  }

  void take_given_log_sum_exps() const {
    each_row([&](std::int64_t row) {
      task_.log_sum_exps[row] = request_.given_log_sum_exp[rows_.places[row]];
    });
  }

  // What each row weighs in the gradient of the others. grad_outputs are brought to magnitudes of 1
  // at most, so that none vanishes on the way.
  void weigh() {
    double largest = 0;
    each_row([&](std::int64_t row) {
      const double magnitude = std::abs(grad_output(rows_.places[row]));
      if (magnitude > largest && magnitude <= std::numeric_limits<double>::max())
        largest = magnitude;
    });
    if (largest == 0) largest = 1;
    const auto scale = static_cast<double>(task_.exponent_scale);
    factor_ = {largest, request_.temperature};
    each_row([&](std::int64_t row) {
      const double relative = grad_output(rows_.places[row]) / largest,
                   log_sum_exp = task_.log_sum_exps[row];
      task_.grad_outputs[row] = static_cast<A>(relative);
      task_.weights[row] = static_cast<A>(
          task_.shares_maximum ? relative * std::exp(kLn2 * scale - log_sum_exp) : relative);
      task_.offsets[row] = static_cast<A>(scale - log_sum_exp / kLn2);
    });
  }

  void write_gradient(std::int64_t part, std::int64_t parts, void* memory) const {
    with_share(part, parts, 0, task_.own, [&](std::int64_t begin, std::int64_t end) {
      kernels_.write(task_, begin, end, factor_, memory);
    });
  }

 private:
  // log(1 + sum * 2^exponent)
  static double log_of_one_and(double sum, double exponent) {
    const double product = sum * std::exp2(exponent);
    if (sum == 0 || product <= std::numeric_limits<double>::max())
      return sum == 0 ? 0 : std::log1p(product);
    return std::log(sum) + kLn2 * exponent;
  }

  // To rows from `row` on. Returns how many.
  template <typename IsMasked>
  std::int64_t take_rank(std::int64_t rank, std::int64_t begin, std::int64_t end, std::int64_t row,
                         const IsMasked& is_masked) {
    const std::int64_t first = row;
    const View<const T, 4> slots = request_.slots_of(rank);
    for (std::int64_t view = 0; view < 2; ++view) {
      for (std::int64_t image = begin; image < end; ++image) {
        if (is_masked(rank, image)) continue;
        for (std::int64_t slot = 0; slot < request_.slots_of_view(); ++slot, ++row) {
          const std::int64_t place = request_.place(view, image, slot);
          task_.slots[row] = slot_of(slots, view, image, slot);
          rows_.places[row] = rank * request_.losses() + place;
          if (rank == request_.rank) rows_.row_at[place] = row;
        }
      }
    }
    return row - first;
  }

  void start_own_rows() {
    const std::int64_t rows = task_.first_other;
    const A below_any = -2 * task_.exponent_scale;
    std::fill_n(task_.sums, rows, 0.0);
    std::fill_n(task_.running_maxima, rows, below_any);
    if (task_.hardest_negatives) std::fill_n(task_.hardest_negatives, rows, A(-2));
    if (task_.unit_gradients) std::fill_n(task_.unit_gradients, rows * task_.padded, A(0));
  }

  // Rows that are no slot's.
  void clear_beyond(std::int64_t begin, std::int64_t end) {
    if (begin >= end) return;
    std::fill(task_.units + begin * task_.padded, task_.units + end * task_.padded, A(0));
    std::fill(task_.panels + begin / kTile * kTile * task_.channels,
              task_.panels + end * task_.channels, A(0));
    std::fill(task_.weights + begin, task_.weights + end, A(0));
    std::fill(task_.offsets + begin, task_.offsets + end, A(0));
    std::fill(task_.positives + begin, task_.positives + end, std::int64_t{-1});
  }

  // Calls work(begin, end) with a part's share, in whole tiles, of `rows` rows from `first` on.
  template <typename Work>
  static void with_share(std::int64_t part, std::int64_t parts, std::int64_t first,
                         std::int64_t rows, const Work& work) {
    const std::int64_t tiles = (rows + kTile - 1) / kTile;
    const std::int64_t begin = share_begin(tiles, part, parts) * kTile,
                       end = std::min(share_begin(tiles, part + 1, parts) * kTile, rows);
    if (begin < end) work(first + begin, first + end);
  }

  template <typename Work>
  void each_row(const Work& work) const {
    for (std::int64_t row = 0; row < task_.own; ++row) work(row);
    for (std::int64_t row = task_.first_other; row < task_.end; ++row) work(row);
  }

  // The gradient of the loss at a place.
  double grad_output(std::int64_t place) const {
    const bool per_slot = request_.reduction == OSC_NONE;
    const double value =
        request_.grad_output
            ? to_double(request_.grad_output[per_slot ? place : place / request_.losses()])
            : 1;
    return request_.reduction == OSC_MEAN ? value / static_cast<double>(request_.losses()) : value;
  }

  const Request<T>& request_;
  const ContrastiveKernels<T>& kernels_;
  Rows<T>& rows_;
  ContrastiveTask<T>& task_;
  Ratio factor_;  // of the gradient
};

// What is wrong with a call that the table does not know of.
template <typename T>
Status check(const Request<T>& request) {
  using A = typename ContrastiveTask<T>::A;
  if (request.rank < 0 || request.rank >= request.ranks())
    return failure(StatusCode::invalid_argument, -1, "rank is %lld; wanted one of 0 ... %lld",
                   static_cast<long long>(request.rank),
                   static_cast<long long>(request.ranks() - 1));
  if (4 / (kLn2 * request.temperature) > static_cast<double>(std::numeric_limits<A>::max()))
    return failure(StatusCode::invalid_argument, -1,
                   "temperature is %g; wanted one whose inverse is finite in the type that is "
                   "computed in",
                   request.temperature);
  if (request.given_log_sum_exp && (request.loss || request.log_sum_exp || request.accuracy))
    return Status(StatusCode::invalid_argument, -1,
                  "given_log_sum_exp is for the gradient alone; wanted no loss, log_sum_exp or "
                  "accuracy with it");
  return {};
}

// Of the slots of several ranks.
template <typename T>
Status check_gathered(const Request<T>& request) {
  if (request.ranks() < 1)
    return Status(StatusCode::invalid_argument, -1, "slots are of 0 ranks; wanted at least 1");
  if (request.grad_slots.data && !request.given_log_sum_exp)
    return Status(StatusCode::invalid_argument, -1,
                  "given_log_sum_exp is not given; wanted that of all ranks for the gradient");
  return {};
}

// Memory for all, and how it is used.
template <typename T>
class Run {
 public:
  Run(const Request<T>& request, const ContrastiveKernels<T>& kernels,
      const SimilarityKernels<T>& similarity)
      : request_(request), kernels_(kernels), similarity_(similarity) {}

  Status run() {
    const std::int64_t images = request_.images(), slots = request_.slots_of_view();
    Status status = check_slots_of_view(slots);
    if (status.ok() && request_.given_matching) {
      status = check_given_matching(request_.given_matching, images, slots, request_.workspace);
      if (status.ok() && request_.ranks() > 1 && !request_.given_log_sum_exp)
        status = check_left_out();
    }
    for (std::int64_t rank = 0;
         rank < request_.ranks() && status.ok() && request_.on_nonfinite == OSC_RAISE; ++rank)
      status = check_finite("slots", "image", request_.slots_of(rank), 1, request_.executor);
    if (!status.ok()) return status;

    const auto losses = static_cast<double>(request_.losses()),
               candidates = request_.by_image ? 2.0 * static_cast<double>(slots)
                                              : losses * static_cast<double>(request_.ranks());
    plan_ = plan_for(2 * losses * candidates * static_cast<double>(request_.channels() + 8),
                     request_.by_image ? images : std::numeric_limits<std::int32_t>::max(),
                     request_.executor);
    matching_plan_ = matching_plan(images, slots, request_.channels(), true, request_.executor);
    CallMemory memory(request_.workspace);
    status = memory.lay_out([&](Arena& arena) { lay_out(arena); });
    if (!status.ok()) return status;

    find_matching();
    find_masked_images();
    std::fill_n(accurate_, images, std::int64_t{0});
    if (request_.by_image) {
      compute_images();
    } else {
      compute_batch();
    }
    write_results();
    return {};
  }

 private:
  // Other ranks cannot know of an image that is left out though it is finite.
  Status check_left_out() const {
    const View<const T, 4> own = request_.slots_of(request_.rank);
    for (std::int64_t image = 0; image < request_.images(); ++image) {
      if (request_.given_matching[image * request_.slots_of_view()] >= 0 ||
          !is_finite(slice(own, 1, image)))
        continue;
      return failure(
          StatusCode::invalid_argument, image,
          "given_matching: row %lld is -1, but the image is finite and so a candidate of "
          "the other ranks",
          static_cast<long long>(image));
    }
    return {};
  }

  std::size_t part_bytes() const {
    Arena arena;
    if (request_.by_image) Rows<T>(arena, request_);
    return arena.used() + kContrastiveMemory;
  }

  void lay_out(Arena& arena) {
    const std::int64_t images = request_.images(), slots = request_.slots_of_view();
    matching_ = arena.take<std::int64_t>(images * slots);
    is_masked_ = arena.take<bool>(request_.ranks() * images);
    losses_ = arena.take<double>(request_.losses());
    accurate_ = arena.take<std::int64_t>(images);
    if (!request_.given_matching)
      matching_parts_ =
          Parts::take(arena, matching_plan_, similarity_.memory(slots, request_.channels()));
    parts_ = Parts::take(arena, plan_, part_bytes());
    if (!request_.by_image) rows_.emplace(arena, request_);
  }

  void find_matching() {
    if (request_.given_matching) {
      std::copy_n(request_.given_matching, request_.images() * request_.slots_of_view(), matching_);
      return;
    }
    SimilarityTask<T> task{.f = request_.slots_of(request_.rank)};
    task.eps = request_.eps;
    task.matching = matching_;
    run_similarity(task, similarity_, matching_parts_);
  }

  bool is_masked(std::int64_t rank, std::int64_t image) const {
    return is_masked_[rank * request_.images() + image];
  }

  // Those with a NaN or an infinity, or without a matching.
  void find_masked_images() {
    const std::int64_t images = request_.images(), count = request_.ranks() * images;
    run_parts(plan_, [&](std::int64_t part) {
      for (std::int64_t i = share_begin(count, part, plan_.parts);
           i < share_begin(count, part + 1, plan_.parts); ++i) {
        const std::int64_t rank = i / images, image = i % images;
        is_masked_[i] =
            (rank == request_.rank && matching_[image * request_.slots_of_view()] < 0) ||
            !is_finite(slice(request_.slots_of(rank), 1, image));
      }
    });
  }

  void compute_batch() {
    Computation<T> computation(request_, kernels_, *rows_);
    computation.take(0, request_.images(), matching_,
                     [&](std::int64_t rank, std::int64_t image) { return is_masked(rank, image); });
    const auto each_part = [&](const auto& step) {
      run_parts(plan_, [&](std::int64_t part) { step(part, parts_.memory_of(part)); });
    };
    each_part(
        [&](std::int64_t part, void* memory) { computation.read(part, plan_.parts, memory); });
    if (request_.given_log_sum_exp) {
      computation.take_given_log_sum_exps();
    } else {
      computation.start_pairs();
      each_part([&](std::int64_t, void* memory) { computation.add_log_sum_exps(memory); });
      accurate_[0] = computation.finish_losses(losses_);
    }
    if (!request_.grad_slots.data) return;
    computation.weigh();
    computation.start_pairs();
    each_part([&](std::int64_t, void* memory) { computation.add_gradients(memory); });
    each_part([&](std::int64_t part, void* memory) {
      computation.write_gradient(part, plan_.parts, memory);
    });
  }

  void compute_images() {
    for_each_range(parts_, request_.images(),
                   [&](std::int64_t begin, std::int64_t end, void* memory) {
                     Arena arena(static_cast<char*>(memory) + kContrastiveMemory);
                     Rows<T> rows(arena, request_);
                     Computation<T> computation(request_, kernels_, rows);
                     for (std::int64_t image = begin; image < end; ++image) {
                       if (is_masked(0, image)) continue;
                       computation.take(image, image + 1, matching_,
                                        [](std::int64_t, std::int64_t) { return false; });
                       computation.read(0, 1, memory);
                       if (request_.given_log_sum_exp) {
                         computation.take_given_log_sum_exps();
                       } else {
                         computation.start_pairs();
                         computation.add_log_sum_exps(memory);
                         accurate_[image] = computation.finish_losses(losses_);
                       }
                       if (!request_.grad_slots.data) continue;
                       computation.weigh();
                       computation.start_pairs();
                       computation.add_gradients(memory);
                       computation.write_gradient(0, 1, memory);
                     }
                   });
  }

  // Those of masked images are written here; then what is a sum over images.
  void write_results() const {
    const std::int64_t slots = request_.slots_of_view(), images = request_.images(),
                       losses = request_.losses();
    std::int64_t computed_images = 0;
    for (std::int64_t image = 0; image < images; ++image) {
      const bool masked = is_masked(request_.rank, image);
      if (request_.statuses)
        request_.statuses[image] = masked ? ImageStatus::nonfinite : ImageStatus::ok;
      if (!masked) {
        ++computed_images;
        continue;
      }
      std::fill_n(matching_ + image * slots, slots, std::int64_t{-1});
      for (std::int64_t view = 0; view < 2; ++view) {
        const std::int64_t place = request_.place(view, image, 0);
        std::fill_n(losses_ + place, slots, kNaN);
        if (request_.log_sum_exp) std::fill_n(request_.log_sum_exp + place, slots, kNaN);
        for (std::int64_t slot = 0; slot < slots && request_.grad_slots.data; ++slot)
          std::fill_n(slot_of(request_.grad_slots, view, image, slot), request_.channels(),
                      from_double<T>(kNaN));
      }
    }
    if (request_.matching) std::copy_n(matching_, images * slots, request_.matching);
    if (request_.accuracy)
      *request_.accuracy = static_cast<float>(
          static_cast<double>(std::accumulate(accurate_, accurate_ + images, std::int64_t{0})) /
          static_cast<double>(2 * computed_images * slots));
    if (!request_.loss) return;
    if (request_.reduction == OSC_NONE) {
      std::transform(losses_, losses_ + losses, request_.loss, from_double<T>);
      return;
    }
    const double sum = std::accumulate(losses_, losses_ + losses, 0.0);
    *request_.loss =
        from_double<T>(request_.reduction == OSC_MEAN ? sum / static_cast<double>(losses) : sum);
  }

  const Request<T>& request_;
  const ContrastiveKernels<T>& kernels_;
  const SimilarityKernels<T>& similarity_;
  Plan plan_, matching_plan_;
  std::int64_t* matching_ = nullptr;  // [B, S]
  bool* is_masked_ = nullptr;         // [R, B]
  double* losses_ = nullptr;          // [2BS]
  // Slots without a negative as near as their positive: [B], or the first for all.
  std::int64_t* accurate_ = nullptr;
  Parts matching_parts_, parts_;
  std::optional<Rows<T>> rows_;
};

template <typename T>
Status contrastive_loss(const Request<T>& request, const ContrastiveKernels<T>& kernels,
                        const SimilarityKernels<T>& similarity) {
  const Status status = check(request);
  if (!status.ok()) return status;
  if (request.losses() > 0) return Run<T>(request, kernels, similarity).run();
  if (request.statuses) std::fill_n(request.statuses, request.images(), ImageStatus::ok);
  if (request.accuracy) *request.accuracy = static_cast<float>(kNaN);
  if (request.loss && request.reduction != OSC_NONE)
    *request.loss = from_double<T>(request.reduction == OSC_MEAN ? kNaN : 0.0);
  return {};
}

}  // namespace
}  // namespace osc::cpu

osc_status osc_matching_contrastive_loss(const osc_contrastive_loss* call) {
  using namespace osc::cpu;
  const auto compute = []<typename T>(const osc_contrastive_loss& checked,
                                      const ContrastiveKernels<T>& kernels,
                                      const SimilarityKernels<T>& similarity) {
    const osc::View<const T, 4> slots = view<const T, 4>(checked.slots, 0);
    osc::View<const T, 5> ranks{slots.data, {1}};
    std::copy_n(slots.sizes, 4, ranks.sizes + 1);
    std::copy_n(slots.strides, 4, ranks.strides + 1);
    const Request<T> request(checked, ranks, 0, checked.candidates == OSC_CANDIDATES_IMAGE);
    return contrastive_loss(request, kernels, similarity);
  };
  return run_call<osc_matching_contrastive_loss>(call, compute, contrastive_kernels,
                                                 similarity_kernels);
}

osc_status osc_matching_contrastive_loss_gathered(const osc_contrastive_loss_gathered* call) {
  using namespace osc::cpu;
  const auto compute = []<typename T>(const osc_contrastive_loss_gathered& checked,
                                      const ContrastiveKernels<T>& kernels,
                                      const SimilarityKernels<T>& similarity) {
    const Request<T> request(checked, view<const T, 5>(checked.slots, 1), checked.rank, false);
    const osc::Status status = check_gathered(request);
    return status.ok() ? contrastive_loss(request, kernels, similarity) : status;
  };
  return run_call<osc_matching_contrastive_loss_gathered>(call, compute, contrastive_kernels,
                                                          similarity_kernels);
}

osc_status osc_matching_contrastive_loss_best_worst(int64_t images, int64_t slots,
                                                    double temperature, double* best,
                                                    double* worst) {
  using namespace osc::cpu;
  constexpr auto kRefused = osc::StatusCode::invalid_argument;
  if (!best || !worst)
    return reported(osc::Status(kRefused, -1, "the pointer for a result is null"));
  if (images < 1 || slots < 1)
    return reported(failure(kRefused, -1, "images is %lld and slots is %lld; wanted at least 1",
                            static_cast<long long>(images), static_cast<long long>(slots)));
  if (!(temperature > 0 && temperature <= std::numeric_limits<double>::max()))
    return reported(
        failure(kRefused, -1, "temperature is %g; wanted a positive, finite number", temperature));
  const double others = 2 * static_cast<double>(images) * static_cast<double>(slots) - 2;
  // log(exp(1/t) + others) - 1/t, without the exponential of a large number.
  *best = std::log1p(others * std::exp(-1 / temperature));
  *worst = std::log(others + 1);
  return OSC_OK;
}
