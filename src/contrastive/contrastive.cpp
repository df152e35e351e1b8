#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <memory>
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
#include "similarity/task.hpp"

namespace osc::cpu {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// A call on the slots of one rank or of several. With several, `call` has the arrays and options of
// a gathered call. The place of a slot is its index in [R, 2, B, S]. R is 1 without ranks.
template <typename T>
struct Request {
  const osc_contrastive_loss& call;
  View<const T, 5> slots;  // [R, 2, B, S, C]
  Index rank;              // whose losses are wanted
  double temperature = or_default(call.temperature, 1), eps = or_default(call.eps, 1e-10);
  const Index* given_matching = elements<const Index>(call.given_matching);
  const double* given_log_sum_exp = elements<const double>(call.given_log_sum_exp);
  T* loss = elements<T>(call.loss);
  double* log_sum_exp = elements<double>(call.log_sum_exp);
  float* accuracy = elements<float>(call.accuracy);
  ImageStatus* statuses = elements<ImageStatus>(call.statuses);
  const T* grad_output = elements<const T>(call.grad_output);
  View<T, 4> grad_slots = gradient_view<T, 4>(call.grad_slots, slice(slots, 0, 0), 0);

  bool by_image() const { return call.candidates == OSC_CANDIDATES_IMAGE; }
  Index ranks() const { return slots.sizes[0]; }
  Index images() const { return slots.sizes[2]; }
  Index slots_of_view() const { return slots.sizes[3]; }
  Index channels() const { return slots.sizes[4]; }
  Index losses() const { return 2 * images() * slots_of_view(); }  // of a rank
  Index place(Index view, Index image, Index slot) const {
    return (view * images() + image) * slots_of_view() + slot;
  }
  View<const T, 4> slots_of(Index r) const { return slice(slots, 0, r); }
};

// Calls work(x, y) for all pairs of blocks x <= y of the task in which x is an own block. Several
// threads may call this at once, with the same `next` and `turns` (one element per block), which
// start as zeros. Each pair is then processed by one thread.
//
// Pairs are scheduled as a round-robin tournament: in each round every block meets one other. The
// rounds of a block are processed in order, on any threads, so that sums have the same bits with
// any number of threads. A thread that takes a pair waits until the earlier rounds of both blocks
// have ended. Pairs are taken in order, so those rounds are already running: no deadlock.
template <typename Task, typename Work>
void each_pair(const Task& task, std::atomic<Index>& next, std::atomic<std::int32_t>* turns,
               const Work& work) {
  const Index own = task.own_blocks, others = task.other_blocks;
  const Index players = own + own % 2, half = players / 2,
              rounds = players - 1;  // if `own` is odd, one block pauses in each round
  const Index among_own = own + rounds * half, all = among_own + own * others;
  const auto wait_for = [&](Index block, std::int32_t turn) {
    // A thread polls this often before it sleeps: the thread that it waits for may not be running.
    constexpr int kLooks = 1000;
    for (int look = 0; look < kLooks; ++look) {
      if (turns[block].load(std::memory_order_acquire) == turn) return;
    }
    for (std::int32_t seen = turns[block].load(std::memory_order_acquire); seen != turn;
         seen = turns[block].load(std::memory_order_acquire))
      turns[block].wait(seen, std::memory_order_acquire);
  };
  const auto end_turn = [&](Index block, std::int32_t turn) {
    // Sequentially consistent: notify_all() looks for sleepers, which must not happen before.
    turns[block].store(turn + 1);
    turns[block].notify_all();
  };
  for (Index pair = next.fetch_add(1, std::memory_order_relaxed); pair < all;
       pair = next.fetch_add(1, std::memory_order_relaxed)) {
    Index x = pair, y = pair;
    std::int32_t turn = 0;
    if (pair >= among_own) {
      const Index round = (pair - among_own) / own;
      x = (pair - among_own) % own;
      y = own + (x + round) % others;
      turn = static_cast<std::int32_t>(1 + rounds + round);
    } else if (pair >= own) {
      const Index round = (pair - own) / half, k = (pair - own) % half;
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
  Index capacity;                    // whole tiles
  Index* places;                     // [rows], the place of each row
  Index* row_at;                     // the row of each place of this rank that has one
  std::atomic<std::int32_t>* turns;  // [blocks]
  std::atomic<Index>* next;          // the next pair of blocks

  static Index whole_tiles(Index rows) {
    return (rows + Task::kTile - 1) / Task::kTile * Task::kTile;
  }

  Rows(Arena& arena, const Request<T>& request)
      : capacity(request.by_image() ? whole_tiles(2 * request.slots_of_view())
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
    task.positives = arena.take<Index>(capacity);
    task.positive_similarities = arena.take<A>(capacity);
    if (request.accuracy) task.hardest_negatives = arena.take<A>(capacity);
    task.running_maxima = arena.take<A>(capacity);
    task.sums = arena.take<double>(capacity);
    task.log_sum_exps = arena.take<double>(capacity);
    task.grad_outputs = arena.take<A>(capacity);
    task.weights = arena.take<A>(capacity);
    task.offsets = arena.take<A>(capacity);
    places = arena.take<Index>(capacity);
    row_at = arena.take<Index>(request.losses());
    turns = arena.take<std::atomic<std::int32_t>>(capacity / Task::kTile);
    next = arena.take<std::atomic<Index>>(1);
  }
};

// The losses and the gradient of the rows of a task.
template <typename T>
class Computation {
  using A = typename ContrastiveTask<T>::A;
  static constexpr Index kTile = ContrastiveTask<T>::kTile;

 public:
  Computation(const Request<T>& request, const ContrastiveKernels<T>& kernels, Rows<T>& rows)
      : request_(request), kernels_(kernels), rows_(rows), task_(rows.task) {
    // With a shared maximum, exponents must stay far above kLeastExponent, below which the kernels
    // take a power for 0.
    constexpr double kFarFromVanishing = sizeof(A) == 4 ? 64 : 900;
    // At least the least normal number. With a scale of 0, a masked cosine (-inf) would become NaN.
    task_.exponent_scale =
        std::max(static_cast<A>(1 / (kLn2 * request.temperature)), std::numeric_limits<A>::min());
    task_.shares_maximum = 2 * static_cast<double>(task_.exponent_scale) <= kFarFromVanishing;
    task_.eps = request.eps;
  }

  // Takes the images for which is_masked(rank, image) is false, of [begin, end).
  template <typename IsMasked>
  void take(Index begin, Index end, const Index* matching, const IsMasked& is_masked) {
    task_.own = take_rank(request_.rank, begin, end, 0, is_masked);
    task_.first_other = Rows<T>::whole_tiles(task_.own);
    start_own_rows();
    const Index slots = request_.slots_of_view(), images = request_.images();
    for (Index row = 0; row < task_.own; ++row) {
      const Index place = rows_.places[row] % request_.losses(), view = place / (images * slots),
                  image = place / slots % images, slot = place % slots;
      if (view == 1) continue;
      const Index match = matching[image * slots + slot],
                  positive = rows_.row_at[request_.place(1, image, match)];
      task_.positives[row] = positive;
      task_.positives[positive] = row;
      if (!request_.grad_slots.data) continue;
      task_.targets[row] = slot_of(request_.grad_slots, 0, image, slot);
      task_.targets[positive] = slot_of(request_.grad_slots, 1, image, match);
    }
    task_.others = 0;
    for (Index rank = 0; rank < request_.ranks(); ++rank) {
      if (rank != request_.rank)
        task_.others += take_rank(rank, begin, end, task_.first_other + task_.others, is_masked);
    }
    task_.end = task_.others > 0 ? task_.first_other + task_.others : task_.own;
    // Blocks of few tiles keep threads busy, those of many read their rows less often.
    constexpr Index kFewRows = 4096, kManyRows = 16384;
    task_.span = kTile * (task_.own < kFewRows ? 1 : task_.own < kManyRows ? 2 : 4);
    task_.own_blocks = (task_.own + task_.span - 1) / task_.span;
    task_.other_blocks = (task_.others + task_.span - 1) / task_.span;
    clear_beyond(task_.own, task_.first_other);
    if (task_.others > 0) clear_beyond(task_.end, rows_.capacity);
  }

  // After take(). Calls each_part(step) for steps that threads may share: step(part, parts, memory)
  // for each part. Writes losses [2BS]. Returns the number of rows whose positive is nearer than
  // every negative.
  template <typename EachPart>
  Index run(double* losses, const EachPart& each_part) {
    each_part([&](Index part, Index parts, void* memory) {
      const auto read = [&](Index begin, Index end) { kernels_.read(task_, begin, end, memory); };
      with_share(part, parts, 0, task_.own, read);
      with_share(part, parts, task_.first_other, task_.others, read);
    });
    const auto each_pair_of_blocks = [&](auto work) {
      std::uninitialized_value_construct_n(rows_.turns, rows_.capacity / kTile);
      std::uninitialized_value_construct_n(rows_.next, 1);
      each_part([&](Index, Index, void* memory) {
        each_pair(task_, *rows_.next, rows_.turns,
                  [&](Index x, Index y) { work(task_, x, y, memory); });
      });
    };
    Index accurate = 0;
    if (request_.given_log_sum_exp) {
      each_row([&](Index row) {
        task_.log_sum_exps[row] = request_.given_log_sum_exp[rows_.places[row]];
      });
    } else {
      each_pair_of_blocks(kernels_.log_sum_exp_tiles);
      accurate = finish_losses(losses);
    }
    if (!request_.grad_slots.data) return accurate;
    weigh();
    each_pair_of_blocks(kernels_.gradient_tiles);
    each_part([&](Index part, Index parts, void* memory) {
      with_share(part, parts, 0, task_.own, [&](Index begin, Index end) {
        kernels_.write(task_, begin, end, factor_, memory);
      });
    });
    return accurate;
  }

 private:
  // Writes the losses [2BS] of the rank, and log_sum_exp [2BS] if it is wanted.
  Index finish_losses(double* losses) const {
    Index accurate = 0;
    const auto scale = static_cast<double>(task_.exponent_scale);
    for (Index row = 0; row < task_.own; ++row) {
      const double maximum = static_cast<double>(task_.shares_maximum ? task_.exponent_scale
                                                                      : task_.running_maxima[row]),
                   positive = scale * static_cast<double>(task_.positive_similarities[row]);
      const Index place = rows_.places[row] % request_.losses();
      losses[place] = log_of_one_and(task_.sums[row], maximum - positive);
      task_.log_sum_exps[row] = kLn2 * positive + losses[place];
      if (request_.log_sum_exp) request_.log_sum_exp[place] = task_.log_sum_exps[row];
      if (task_.hardest_negatives)
        accurate += task_.positive_similarities[row] > task_.hardest_negatives[row];
    }
    return accurate;
  }

  // The weight of each row in the gradients of the others. grad_outputs are scaled to magnitudes of
  // at most 1, so that no weight underflows.
  void weigh() {
    double largest = 0;
    each_row([&](Index row) {
      const double magnitude = std::abs(grad_output(rows_.places[row]));
      if (magnitude > largest && magnitude <= std::numeric_limits<double>::max())
        largest = magnitude;
    });
    if (largest == 0) largest = 1;
    const auto scale = static_cast<double>(task_.exponent_scale);
    const double losses =
        request_.call.reduction == OSC_MEAN ? static_cast<double>(request_.losses()) : 1;
    factor_ = {largest / losses, request_.temperature};
    if (factor_.numerator < std::numeric_limits<double>::min())
      factor_ = {largest, losses * request_.temperature};
    each_row([&](Index row) {
      const double relative = grad_output(rows_.places[row]) / largest,
                   log_sum_exp = task_.log_sum_exps[row];
      task_.grad_outputs[row] = static_cast<A>(relative);
      task_.weights[row] = static_cast<A>(
          task_.shares_maximum ? relative * std::exp(kLn2 * scale - log_sum_exp) : relative);
      task_.offsets[row] = static_cast<A>(scale - log_sum_exp / kLn2);
    });
  }

  // log(1 + sum * 2^exponent)
  static double log_of_one_and(double sum, double exponent) {
    const double product = sum * std::exp2(exponent);
    if (sum == 0 || product <= std::numeric_limits<double>::max())
      return sum == 0 ? 0 : std::log1p(product);
    return std::log(sum) + kLn2 * exponent;
  }

  // Takes the images of a rank to rows from `row` on. Returns the number of rows.
  template <typename IsMasked>
  Index take_rank(Index rank, Index begin, Index end, Index row, const IsMasked& is_masked) {
    const Index first = row;
    const View<const T, 4> slots = request_.slots_of(rank);
    for (Index view = 0; view < 2; ++view) {
      for (Index image = begin; image < end; ++image) {
        if (is_masked(rank, image)) continue;
        for (Index slot = 0; slot < request_.slots_of_view(); ++slot, ++row) {
          const Index place = request_.place(view, image, slot);
          task_.slots[row] = slot_of(slots, view, image, slot);
          rows_.places[row] = rank * request_.losses() + place;
          if (rank == request_.rank) rows_.row_at[place] = row;
        }
      }
    }
    return row - first;
  }

  void start_own_rows() {
    const Index rows = task_.first_other;
    const A below_any = -2 * task_.exponent_scale;
    std::fill_n(task_.sums, rows, 0.0);
    std::fill_n(task_.running_maxima, rows, below_any);
    if (task_.hardest_negatives) std::fill_n(task_.hardest_negatives, rows, A(-2));
    if (task_.unit_gradients) std::fill_n(task_.unit_gradients, rows * task_.padded, A(0));
  }

  // Clears the rows [begin, end), which belong to no slot.
  void clear_beyond(Index begin, Index end) {
    if (begin >= end) return;
    std::fill(task_.units + begin * task_.padded, task_.units + end * task_.padded, A(0));
    std::fill(task_.panels + begin / kTile * kTile * task_.channels,
              task_.panels + end * task_.channels, A(0));
    std::fill(task_.weights + begin, task_.weights + end, A(0));
    std::fill(task_.offsets + begin, task_.offsets + end, A(0));
    std::fill(task_.positives + begin, task_.positives + end, Index{-1});
  }

  // Calls work(begin, end) with a part's share, in whole tiles, of `rows` rows from `first` on.
  template <typename Work>
  static void with_share(Index part, Index parts, Index first, Index rows, const Work& work) {
    const Index tiles = (rows + kTile - 1) / kTile;
    const Index begin = share_begin(tiles, part, parts) * kTile,
                end = std::min(share_begin(tiles, part + 1, parts) * kTile, rows);
    if (begin < end) work(first + begin, first + end);
  }

  template <typename Work>
  void each_row(const Work& work) const {
    for (Index row = 0; row < task_.own; ++row) work(row);
    for (Index row = task_.first_other; row < task_.end; ++row) work(row);
  }

  // The grad_output of the loss at a place.
  double grad_output(Index place) const {
    const bool per_slot = request_.call.reduction == OSC_NONE;
    return request_.grad_output
               ? to_double(request_.grad_output[per_slot ? place : place / request_.losses()])
               : 1;
  }

  const Request<T>& request_;
  const ContrastiveKernels<T>& kernels_;
  Rows<T>& rows_;
  ContrastiveTask<T>& task_;
  Ratio factor_;  // of the gradient
};

// Checks what the table of operators cannot: the rank, the range of the temperature, and the
// outputs that given_log_sum_exp excludes.
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

// Checks a gathered call.
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
    const Index images = request_.images(), slots = request_.slots_of_view();
    Status status = check_slots_of_view(slots);
    if (status.ok() && request_.given_matching) {
      status =
          check_given_matching(request_.given_matching, images, slots, request_.call.workspace);
      if (status.ok() && request_.ranks() > 1 && !request_.given_log_sum_exp)
        status = check_left_out();
    }
    for (Index rank = 0;
         rank < request_.ranks() && status.ok() && request_.call.on_nonfinite == OSC_RAISE; ++rank)
      status = check_finite("slots", "image", request_.slots_of(rank), 1, request_.call.executor);
    if (!status.ok()) return status;

    const Index candidates = request_.by_image() ? 2 * slots : request_.losses() * request_.ranks();
    plan_ = plan_for(2 * product({request_.losses(), candidates, request_.channels() + 8}),
                     request_.by_image() ? images : std::numeric_limits<std::int32_t>::max(),
                     request_.call.executor);
    matching_plan_ =
        matching_plan(images, slots, request_.channels(), true, request_.call.executor);
    CallMemory memory(request_.call.workspace);
    status = memory.lay_out([&](Arena& arena) { lay_out(arena); });
    if (!status.ok()) return status;

    find_matching();
    find_masked_images();
    std::fill_n(accurate_, images, Index{0});
    if (request_.by_image()) {
      compute_images();
    } else {
      compute_batch();
    }
    write_results();
    return {};
  }

 private:
  // A row of -1 in given_matching masks an image. Other ranks do not see it, so that a finite image
  // may not be masked.
  Status check_left_out() const {
    const View<const T, 4> own = request_.slots_of(request_.rank);
    for (Index image = 0; image < request_.images(); ++image) {
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
    if (request_.by_image()) Rows<T>(arena, request_);
    return arena.used() + kContrastiveMemory;
  }

  void lay_out(Arena& arena) {
    const Index images = request_.images(), slots = request_.slots_of_view();
    matching_ = arena.take<Index>(images * slots);
    is_masked_ = arena.take<bool>(request_.ranks() * images);
    losses_ = arena.take<double>(request_.losses());
    accurate_ = arena.take<Index>(images);
    if (!request_.given_matching)
      matching_parts_ =
          Parts::take(arena, matching_plan_, similarity_.memory(slots, request_.channels()));
    parts_ = Parts::take(arena, plan_, part_bytes());
    if (!request_.by_image()) rows_.emplace(arena, request_);
  }

  void find_matching() {
    if (request_.given_matching) {
      std::copy_n(request_.given_matching, request_.images() * request_.slots_of_view(), matching_);
      return;
    }
    SimilarityTask<T> task{.f = request_.slots_of(request_.rank)};
    task.eps = request_.eps;
    task.matching = matching_;
    for_each_range(matching_parts_, request_.images(), [&](Index begin, Index end, void* memory) {
      similarity_.run(task, begin, end, memory);
    });
  }

  bool is_masked(Index rank, Index image) const {
    return is_masked_[rank * request_.images() + image];
  }

  // An image is masked if it holds a NaN or an infinity, or has no matching.
  void find_masked_images() {
    const Index images = request_.images(), count = request_.ranks() * images;
    run_parts(plan_, [&](Index part) {
      for (Index i = share_begin(count, part, plan_.parts);
           i < share_begin(count, part + 1, plan_.parts); ++i) {
        const Index rank = i / images, image = i % images;
        is_masked_[i] =
            (rank == request_.rank && matching_[image * request_.slots_of_view()] < 0) ||
            !is_finite(slice(request_.slots_of(rank), 1, image));
      }
    });
  }

  void compute_batch() {
    Computation<T> computation(request_, kernels_, *rows_);
    computation.take(0, request_.images(), matching_,
                     [&](Index rank, Index image) { return is_masked(rank, image); });
    accurate_[0] = computation.run(losses_, [&](const auto& step) {
      run_parts(plan_, [&](Index part) { step(part, plan_.parts, parts_.memory_of(part)); });
    });
  }

  void compute_images() {
    for_each_range(parts_, request_.images(), [&](Index begin, Index end, void* memory) {
      Arena arena(static_cast<char*>(memory) + kContrastiveMemory);
      Rows<T> rows(arena, request_);
      Computation<T> computation(request_, kernels_, rows);
      for (Index image = begin; image < end; ++image) {
        if (is_masked(0, image)) continue;
        computation.take(image, image + 1, matching_, [](Index, Index) { return false; });
        accurate_[image] =
            computation.run(losses_, [&](const auto& step) { step(Index{0}, Index{1}, memory); });
      }
    });
  }

  // Writes the results of masked images, and then those that are sums over images.
  void write_results() const {
    const Index slots = request_.slots_of_view(), images = request_.images(),
                losses = request_.losses();
    Index computed_images = 0;
    for (Index image = 0; image < images; ++image) {
      const bool masked = is_masked(request_.rank, image);
      if (request_.statuses)
        request_.statuses[image] = masked ? ImageStatus::nonfinite : ImageStatus::ok;
      if (!masked) {
        ++computed_images;
        continue;
      }
      std::fill_n(matching_ + image * slots, slots, Index{-1});
      for (Index view = 0; view < 2; ++view) {
        const Index place = request_.place(view, image, 0);
        std::fill_n(losses_ + place, slots, kNaN);
        if (request_.log_sum_exp) std::fill_n(request_.log_sum_exp + place, slots, kNaN);
        for (Index slot = 0; slot < slots && request_.grad_slots.data; ++slot)
          std::fill_n(slot_of(request_.grad_slots, view, image, slot), request_.channels(),
                      from_double<T>(kNaN));
      }
    }
    if (auto* const matching = elements<Index>(request_.call.matching))
      std::copy_n(matching_, images * slots, matching);
    if (request_.accuracy)
      *request_.accuracy = static_cast<float>(
          static_cast<double>(std::accumulate(accurate_, accurate_ + images, Index{0})) /
          static_cast<double>(2 * computed_images * slots));
    if (!request_.loss) return;
    if (request_.call.reduction == OSC_NONE) {
      std::transform(losses_, losses_ + losses, request_.loss, from_double<T>);
      return;
    }
    const double sum = std::accumulate(losses_, losses_ + losses, 0.0);
    *request_.loss = from_double<T>(
        request_.call.reduction == OSC_MEAN ? sum / static_cast<double>(losses) : sum);
  }

  const Request<T>& request_;
  const ContrastiveKernels<T>& kernels_;
  const SimilarityKernels<T>& similarity_;
  Plan plan_, matching_plan_;
  Index* matching_ = nullptr;  // [B, S]
  bool* is_masked_ = nullptr;  // [R, B]
  double* losses_ = nullptr;   // [2BS]
  // The number of slots whose positive is nearer than every negative: [B], or one element for all.
  Index* accurate_ = nullptr;
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
  if (request.loss && request.call.reduction != OSC_NONE)
    *request.loss = from_double<T>(request.call.reduction == OSC_MEAN ? kNaN : 0.0);
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
    const Request<T> request{checked, ranks, 0};
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
    // Both structs begin with the same arrays.
    constexpr std::size_t kArrayBytes = offsetof(osc_contrastive_loss, candidates);
    static_assert(kArrayBytes == offsetof(osc_contrastive_loss_gathered, rank));
    osc_contrastive_loss arrays_and_options{};
    std::memcpy(&arrays_and_options, &checked, kArrayBytes);
    arrays_and_options.reduction = checked.reduction;
    arrays_and_options.on_nonfinite = checked.on_nonfinite;
    arrays_and_options.temperature = checked.temperature;
    arrays_and_options.eps = checked.eps;
    arrays_and_options.executor = checked.executor;
    arrays_and_options.workspace = checked.workspace;
    const Request<T> request{arrays_and_options, view<const T, 5>(checked.slots, 1), checked.rank};
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
