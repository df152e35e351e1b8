// Solves assignment problems in the type of the costs, in vector registers. It answers only if the
// optimum is unique, and proves that. Ties, near ties, infinite and extreme costs are left to
// CrouseSolver. Compiled once per instruction set; see runtime/dispatch.hpp.
//
//   begin     column reduction: the price v of a column starts at its least cost (square matrices)
//             or at 0, and each row takes a free column at its price, if there is one. If every
//             column has its least cost in one row alone, and no two in the same, the optimum is
//             found and unique.
//   reduce    augmenting row reduction. Several problems take turns, since a step depends on the
//             one before.
//   finish    shortest augmenting paths for the rows without a column. After R. Jonker and A.
//             Volgenant, "A shortest augmenting path algorithm for dense and sparse linear
//             assignment problems", Computing 38, 1987.
//   certify   chooses u of each row such that its own pair has slack c - u - v = 0. Every other
//             assignment differs by cycles of exchanges, and costs more by the sum of their slacks.
//             So the optimum is unique if every cycle has a sum above 0. Bounds of the rounding are
//             included. docs/design.md has the argument.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "runtime/arena.hpp"
#include "runtime/sizes.hpp"

namespace osc::cpu {
namespace {

// A problem of `rows` <= `columns` and what is known of its answer. `stride` is a multiple of the
// lanes of a vector, at least `columns`.
template <typename T>
struct FastProblem {
  T* costs;                     // [rows, stride]; columns beyond the last cost +inf
  T* price;                     // [stride]
  std::int32_t* column_of_row;  // [rows], meaningless for a row in rows_left
  std::int32_t* row_of_column;  // [stride + 1], -1 where free; the last element is a dummy
  std::int32_t* rows_left;      // [rows + 1], the rows without a column
  Index left = 0;               // how many
  T largest = 0;                // magnitude of a cost, all of which are finite

  static FastProblem take(Arena& arena, Index rows, Index stride) {
    FastProblem problem{};
    problem.costs = arena.take<T>(rows, stride);
    problem.price = arena.take<T>(stride);
    problem.column_of_row = arena.take<std::int32_t>(rows);
    problem.row_of_column = arena.take<std::int32_t>(stride + 1);
    problem.rows_left = arena.take<std::int32_t>(rows + 1);
    return problem;
  }
};

// What the solver needs while it looks at one problem.
template <typename T>
struct FastScratch {
  T* open_price;  // [stride], -inf of a column whose distance is final
  T* distance;    // [stride], +inf of a column whose distance is final
  T* previous;    // [stride], the row before each column on the shortest path; small integers are
                  // exact in T
  T* final_distance;         // [rows], of the columns in `closed`
  std::int32_t* closed;      // [rows]
  std::int32_t* first_edge;  // [rows + 2], of each node of the graph of exchanges
  std::int32_t* visit;       // [2 * (rows + 1)]
  std::int32_t* edge_to;     // [max_edges(rows)]
  double* edge_slack;        // [max_edges(rows)]
  double* potential;         // [rows + 1]

  static constexpr Index max_edges(Index rows) { return 8 * rows + 16; }

  static FastScratch take(Arena& arena, Index rows, Index stride) {
    FastScratch scratch{};
    scratch.open_price = arena.take<T>(stride);
    scratch.distance = arena.take<T>(stride);
    scratch.previous = arena.take<T>(stride);
    scratch.final_distance = arena.take<T>(rows);
    scratch.closed = arena.take<std::int32_t>(rows);
    scratch.first_edge = arena.take<std::int32_t>(rows + 2);
    scratch.visit = arena.take<std::int32_t>(2 * (rows + 1));
    scratch.edge_to = arena.take<std::int32_t>(max_edges(rows));
    scratch.edge_slack = arena.take<double>(max_edges(rows));
    scratch.potential = arena.take<double>(rows + 1);
    return scratch;
  }
};

enum class Begun {
  not_finite,  // a cost is NaN or infinite
  contested,   // many ties, or few rows hold the least costs of all columns: use Crouse's solver
  solved,      // the optimum is found, and unique
  pending,     // reduce() and finish() are still to be called
};

// kVectors: the registers that a row takes; 0: it is read from memory.
template <typename T, int kVectors>
class FastAssignment {
  using V = Simd<T>;
  using Vector = typename V::Vector;
  static constexpr Index kLanes = V::kLanes;
  static constexpr T kInfinity = std::numeric_limits<T>::infinity();
  static constexpr T kEpsilon = std::numeric_limits<T>::epsilon();
  // Problems that take turns in row reduction.
  static constexpr int kTogether = 4;
  // Vectors of a row that are in registers.
  static constexpr int kHeld = kVectors > 0 ? kVectors : 1;

 public:
  FastAssignment(const FastScratch<T>& scratch, Index rows, Index columns, Index stride)
      : scratch_(scratch), rows_(rows), columns_(columns), stride_(stride) {}

  // Takes the costs of a problem: vector_of(r, k) is the k-th vector of row r, with anything in the
  // lanes beyond the last column.
  template <typename VectorOf>
  Begun begin(FastProblem<T>& problem, const VectorOf& vector_of) const {
    const bool square = rows_ == columns_;
    Vector least[kHeld], zero_or_nan = V::set(0), highest = V::set(0);
    for (Index k = 0; k < vectors(); ++k)
      hold_or_store(problem.price, least, k, V::set(square ? kInfinity : T(0)));
    // The k-th vector of a row; unless it is whole, the lanes that are columns.
    const auto take = [&](Index r, Index k, bool whole, Vector& least_cost) {
      Vector real = vector_of(r, k), cost = real;
      if (!whole) {
        const auto lanes = real_lanes(k);
        real = V::select(lanes, real, V::set(0));
        cost = V::select(lanes, cost, V::set(kInfinity));
      }
      store(problem.costs + r * stride_, k, cost);
      zero_or_nan = V::mul_add(real, V::set(0), zero_or_nan);
      highest = V::max(highest, V::abs(real));
      if (square) least_cost = V::min(least_cost, cost);
    };
    Index r = 0;
    if constexpr (kVectors == 0) {
      constexpr Index kRows = 4;  // rows that share one load of the least costs
      for (; r + kRows <= rows_; r += kRows) {
        for (Index k = 0; k < vectors(); ++k) {
          Vector least_cost = load(problem.price, k);
          const bool whole = (k + 1) * kLanes <= columns_;
          for (Index i = 0; i < kRows; ++i) take(r + i, k, whole, least_cost);
          if (square) store(problem.price, k, least_cost);
        }
      }
    }
    for (; r < rows_; ++r) {
      for (Index k = 0; k < vectors(); ++k) {
        Vector least_cost = held_or_loaded(problem.price, least, k);
        take(r, k, false, least_cost);
        hold_or_store(problem.price, least, k, least_cost);
      }
    }
    problem.largest = V::first(V::greatest(highest));
    if (!(V::sum(zero_or_nan) == 0)) return Begun::not_finite;
    for (Index k = 0; k < vectors(); ++k)
      store(problem.price, k,
            V::select(real_lanes(k), held_or_loaded(problem.price, least, k), V::set(0)));
    for (Index c = 0; c < stride_; ++c) problem.row_of_column[c] = -1;
    if (square) return assign_least(problem);
    for (std::int32_t left = 0; left < rows_; ++left) problem.rows_left[left] = left;
    problem.left = rows_;
    return Begun::pending;
  }

  // Row reduction of problems that have begun.
  void reduce(FastProblem<T>* problems, Index count) const {
    constexpr int kChains = kVectors > 0 ? kTogether : 1;
    // One step of several interleaved problems costs a third of separate steps. Shortest-path
    // searches cannot be interleaved, so more steps of row reduction pay off.
    const Index turns = (kChains > 1 && count >= kChains ? 4 : 2) * rows_;
    Chain chains[kChains];
    int running = 0;
    Index next = 0;
    const auto refill = [&] {
      while (running < kChains && next < count) {
        FastProblem<T>& problem = problems[next++];
        if (problem.left > 0 && is_suited(problem)) chains[running++] = chain_of(problem, turns);
      }
    };
    refill();
    while (running == kChains) {
      const unsigned ended = take_turns<kChains>(chains);
      if (ended == 0) continue;
      for (int k = kChains - 1; k >= 0; --k) {
        if ((ended >> k & 1) == 0) continue;
        end(chains[k]);
        chains[k] = chains[--running];
      }
      refill();
    }
    for (int k = 0; k < running; ++k) {
      while (take_turns<1>(chains + k) == 0) {
      }
      end(chains[k]);
    }
  }

  // After reduce(). True: column_of_row and row_of_column are the unique optimum. False: unknown.
  // If ties leave many rows without a column, the optimum is hardly unique. Searches that are more
  // or longer than those of random costs are given up.
  bool finish(FastProblem<T>& problem) const {
    if (!is_suited(problem) || 2 * problem.left > rows_) return false;
    const auto rows = static_cast<double>(rows_);
    auto scans = static_cast<Index>(rows * (1 + 2 * __builtin_sqrt(rows)));
    for (Index i = 0; i < problem.left; ++i) {
      augment(problem, problem.rows_left[i], scans);
      if (scans < 0) return false;
    }
    problem.left = 0;
    return certify(problem);
  }

 private:
  // The turns of row reduction of one problem.
  struct Chain {
    FastProblem<T>* problem;
    std::int32_t row;           // the row that takes the next step
    Index turns;                // steps still allowed: rounding may keep prices from falling
    const std::int32_t* queue;  // of rows without a column, ended by -1
    Index ties;                 // rows that were put back to the front of the queue's memory
  };

  // Sums and differences of costs must neither overflow nor lose their bits to denormals.
  bool is_suited(const FastProblem<T>& problem) const {
    constexpr T kHuge = sizeof(T) == 4 ? T(0x1p100) : T(0x1p960), kTiny = 1 / kHuge;
    return problem.largest > kTiny && problem.largest < kHuge && rows_ <= (Index{1} << 23);
  }

  Index vectors() const {
    if constexpr (kVectors > 0) {
      return kVectors;
    } else {
      return stride_ / kLanes;
    }
  }
  const T* row(const FastProblem<T>& problem, Index r) const { return problem.costs + r * stride_; }
  static Vector load(const T* x, Index k) { return V::load(x + k * kLanes); }
  static void store(T* x, Index k, Vector a) { V::store(x + k * kLanes, a); }
  // The columns of the k-th vector that are less than `columns_`.
  auto real_lanes(Index k) const {
    const Index count = columns_ - k * kLanes;
    return V::first_lanes(count < 0 ? 0 : count < kLanes ? count : kLanes);
  }

  // The k-th of vectors that are held in registers, or else in memory.
  static Vector held_or_loaded(const T* memory, const Vector (&held)[kHeld], Index k) {
    if constexpr (kVectors > 0) {
      return held[k];
    } else {
      return load(memory, k);
    }
  }
  static void hold_or_store(T* memory, Vector (&held)[kHeld], Index k, Vector a) {
    if constexpr (kVectors > 0) {
      held[k] = a;
    } else {
      store(memory, k, a);
    }
  }

  // Gives each row a free column that has its least cost there, if there is one. The problem is
  // solved if each column has its least cost in one row alone, no two in the same row, and no other
  // cost of the column is so near that rounding could lead Crouse's solver to another answer.
  Begun assign_least(FastProblem<T>& problem) const {
    Index several = 0;  // rows that have the least cost of several columns
    std::uint64_t open = kVectors > 0 ? all_columns() : 0;
    constexpr T kRounding = static_cast<T>(16 * std::numeric_limits<double>::epsilon());
    const Vector near = V::set(kRounding * static_cast<T>(rows_) * problem.largest);
    Vector limit[kHeld];
    for (int k = 0; k < kVectors; ++k) limit[k] = V::add(load(problem.price, k), near);
    problem.left = 0;
    for (std::int32_t r = 0; r < rows_; ++r) {
      Index column = stride_;
      if constexpr (kVectors > 0) {
        std::uint64_t bits = 0;  // columns whose least cost, or one near it, this row has
        for (int k = 0; k < kVectors; ++k) {
          bits |=
              static_cast<std::uint64_t>(V::bits(V::less_equal(load(row(problem, r), k), limit[k])))
              << (k * kLanes);
        }
        const std::uint64_t choice = bits & open;
        several += (bits & (bits - 1)) != 0;
        column = choice != 0 ? __builtin_ctzll(choice) : stride_;
        open &= ~(choice & -choice);
      } else {
        for (Index k = 0; k < vectors() && column == stride_; ++k) {
          for (std::uint64_t bits =
                   V::bits(V::equal(load(row(problem, r), k), load(problem.price, k)));
               bits != 0 && column == stride_; bits &= bits - 1) {
            const Index candidate = k * kLanes + __builtin_ctzll(bits);
            if (candidate < columns_ && problem.row_of_column[candidate] < 0) column = candidate;
          }
        }
      }
      assign(problem, r, column);
      problem.rows_left[problem.left] = r;
      problem.left += column == stride_;
    }
    if (kVectors == 0) return Begun::pending;
    if (several == 0 && problem.left == 0) return Begun::solved;
    // Of random costs a quarter of the rows have several columns, and a third are left.
    return 2 * several > rows_ || 4 * problem.left > 3 * rows_ ? Begun::contested : Begun::pending;
  }

  std::uint64_t all_columns() const {
    return columns_ == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << columns_) - 1;
  }

  static void assign(FastProblem<T>& problem, std::int32_t r, Index column) {
    problem.column_of_row[r] = static_cast<std::int32_t>(column);
    problem.row_of_column[column] = r;
  }

  static Chain chain_of(FastProblem<T>& problem, Index turns) {
    problem.rows_left[problem.left] = -1;
    return {&problem, problem.rows_left[0], turns, problem.rows_left + 1, 0};
  }

  // Rows without a column are those that are still in the queue, and those that were put back.
  void end(const Chain& chain) const {
    FastProblem<T>& problem = *chain.problem;
    problem.left = chain.ties;
    std::int32_t next = chain.row;
    for (const std::int32_t* queue = chain.queue; next >= 0; next = *queue++)
      problem.rows_left[problem.left++] = next;
    for (std::int32_t c = 0; c < columns_; ++c) {
      if (problem.row_of_column[c] >= 0) problem.column_of_row[problem.row_of_column[c]] = c;
    }
  }

  // A step of each chain: a row takes its best column, whose price falls until the second best is
  // as good. The row that had the column is next. Returns a bit for each chain that has ended.
  template <int kChains>
  unsigned take_turns(Chain* chains) const {
    Vector x[kChains][kHeld], first[kChains], second[kChains];
    for (int i = 0; i < kChains; ++i) {
      const T* const costs = row(*chains[i].problem, chains[i].row);
      const T* const price = chains[i].problem->price;
      first[i] = second[i] = V::set(kInfinity);
      for (Index k = 0; k < vectors(); ++k) {
        const Vector reduced = V::sub(load(costs, k), load(price, k));
        if constexpr (kVectors > 0) {
          x[i][k] = reduced;
        } else {
          store(scratch_.distance, k, reduced);
        }
        second[i] = k == 0 ? second[i] : V::min(second[i], V::max(first[i], reduced));
        first[i] = k == 0 ? reduced : V::min(first[i], reduced);
      }
    }
    two_smallest_of_each(first, second);
    unsigned ended = 0;
    for (int i = 0; i < kChains; ++i) {
      Chain& chain = chains[i];
      FastProblem<T>& problem = *chain.problem;
      const Vector gap = V::sub(second[i], first[i]);
      Index column = 0;
      if constexpr (kVectors > 0) {
        std::uint64_t bits = 0;
        for (int k = 0; k < kVectors; ++k)
          bits |= static_cast<std::uint64_t>(V::bits(V::equal(x[i][k], first[i]))) << (k * kLanes);
        column = __builtin_ctzll(bits);
      } else {
        column = find(scratch_.distance, first[i]);
      }
      std::int32_t displaced = problem.row_of_column[column];
      if (displaced >= 0 && !(V::first(gap) > 0)) {  // a tie: that row would only take it back
        problem.rows_left[chain.ties++] = chain.row;
        displaced = -1;
      } else {
        if constexpr (kVectors > 0) {
          for (int k = 0; k < kVectors; ++k) {
            const Vector price = load(problem.price, k);
            store(problem.price, k,
                  V::select(V::equal(x[i][k], first[i]), V::sub(price, gap),
                            price));  // if several columns are best, gap is 0
          }
        } else {
          problem.price[column] -= V::first(gap);
        }
        problem.row_of_column[column] = chain.row;
      }
      const bool settled = displaced < 0;
      chain.row = settled ? *chain.queue : displaced;
      chain.queue += settled;
      ended |= static_cast<unsigned>(chain.row < 0 || --chain.turns == 0) << i;
    }
    return ended;
  }

  template <int kChains>
  static void two_smallest_of_each(Vector (&first)[kChains], Vector (&second)[kChains]) {
    if constexpr (requires { V::two_smallest_of_each(first, second); }) {
      V::two_smallest_of_each(first, second);
    } else {
      for (int i = 0; i < kChains; ++i) V::two_smallest(first[i], second[i]);
    }
  }

  // The first column whose value is `value`. At least one column must have it.
  Index find(const T* values, Vector value) const {
    for (Index k = 0;; ++k) {
      const std::uint32_t bits = V::bits(V::equal(load(values, k), value));
      if (bits != 0) return k * kLanes + __builtin_ctz(bits);
    }
  }

  // Dijkstra's search over reduced costs, from a row without a column to the nearest free column.
  // Each visit of a row decrements `scans`. The search gives up when none is left.
  void augment(FastProblem<T>& problem, std::int32_t new_row, Index& scans) const {
    Index closed = 0;
    Index column = 0;
    Vector nearest = V::set(0), offset = nearest;
    Vector open_price[kVectors > 0 ? kVectors : 1], distance[kVectors > 0 ? kVectors : 1],
        previous[kVectors > 0 ? kVectors : 1];
    for (Index k = 0; k < vectors(); ++k) {
      if constexpr (kVectors > 0) {
        open_price[k] = load(problem.price, k);
        distance[k] = V::set(kInfinity);
        previous[k] = V::set(0);
      } else {
        store(scratch_.open_price, k, load(problem.price, k));
        store(scratch_.distance, k, V::set(kInfinity));
      }
    }
    for (std::int32_t r = new_row;;) {
      if (--scans < 0) return;
      const T* const costs = row(problem, r);
      const Vector from = V::set(static_cast<T>(r));
      Vector least = V::set(kInfinity);
      if constexpr (kVectors > 0) {
        for (int k = 0; k < kVectors; ++k) {
          const Vector reached = V::sub(V::sub(load(costs, k), open_price[k]), offset);
          previous[k] = V::select(V::less(reached, distance[k]), from, previous[k]);
          distance[k] = V::min(reached, distance[k]);
          least = V::min(least, distance[k]);
        }
        nearest = V::least(least);
        std::uint64_t bits = 0;
        for (int k = 0; k < kVectors; ++k)
          bits |= static_cast<std::uint64_t>(V::bits(V::equal(distance[k], nearest)))
                  << (k * kLanes);
        column = __builtin_ctzll(bits);
      } else {
        for (Index k = 0; k < vectors(); ++k) {
          const Vector reached =
              V::sub(V::sub(load(costs, k), load(scratch_.open_price, k)), offset);
          const Vector before = load(scratch_.distance, k);
          const Vector now = V::min(reached, before);
          store(scratch_.previous, k,
                V::select(V::less(reached, before), from, load(scratch_.previous, k)));
          store(scratch_.distance, k, now);
          least = V::min(least, now);
        }
        nearest = V::least(least);
        column = find(scratch_.distance, nearest);
      }
      r = problem.row_of_column[column];
      if (r < 0) break;
      offset =
          V::sub(V::sub(V::set(row(problem, r)[column]), V::set(problem.price[column])), nearest);
      scratch_.closed[closed] = static_cast<std::int32_t>(column);
      scratch_.final_distance[closed++] = V::first(nearest);
      if constexpr (kVectors > 0) {
        for (int k = 0; k < kVectors; ++k) {
          const auto here = V::mask((std::uint64_t{1} << column) >> (k * kLanes));
          distance[k] = V::select(here, V::set(kInfinity), distance[k]);
          open_price[k] = V::select(here, V::set(-kInfinity), open_price[k]);
        }
      } else {
        scratch_.distance[column] = kInfinity;
        scratch_.open_price[column] = -kInfinity;
      }
    }
    for (int k = 0; k < kVectors; ++k) store(scratch_.previous, k, previous[k]);
    for (Index i = 0; i < closed; ++i)
      problem.price[scratch_.closed[i]] += scratch_.final_distance[i] - V::first(nearest);
    for (std::int32_t r = -1; r != new_row;) {
      r = static_cast<std::int32_t>(scratch_.previous[column]);
      const Index next = problem.column_of_row[r];
      assign(problem, r, column);
      column = next;
    }
  }

  // Whether no exchange is as good. `magnitude` bounds costs and prices, `rounding` what the
  // computed slack of a pair can be off.
  bool certify(const FastProblem<T>& problem) const {
    Vector highest = V::set(0);
    for (Index k = 0; k < vectors(); ++k) highest = V::max(highest, V::abs(load(problem.price, k)));
    const T magnitude = V::first(V::greatest(highest)) + problem.largest;
    const T rounding = 4 * kEpsilon * magnitude;
    return (columns_ < 64 + (rows_ == columns_) && certify_small(problem, rounding)) ||
           certify_any(problem, magnitude, rounding);
  }

  // A bit for each pair whose slack is at most `far`. If these pairs have no cycle, every cycle of
  // exchanges has a pair with a greater slack. Node c is column c with the row that is assigned to
  // it. Node 63 is all free columns together: a row may leave its column for a free one, and its
  // column, at price v <= 0, may then stay free.
  bool certify_small(const FastProblem<T>& problem, T rounding) const {
    const T far = 4 * static_cast<T>(rows_ + 2) * rounding;
    alignas(64) std::uint64_t next[64];
    std::uint64_t free = 0;
    for (Index c = 0; c < columns_; ++c)
      free |= static_cast<std::uint64_t>(problem.row_of_column[c] < 0) << c;
    Vector lowest = V::set(0);
    for (Index r = 0; r < rows_; ++r) {
      const T* const costs = row(problem, r);
      const Index own = problem.column_of_row[r];
      const Vector row_price = V::set(costs[own] - problem.price[own]);
      std::uint64_t bits = 0;
      for (Index k = 0; k < vectors(); ++k) {
        const Vector slack = V::sub(V::sub(load(costs, k), load(problem.price, k)), row_price);
        lowest = V::min(lowest, slack);
        bits |= static_cast<std::uint64_t>(V::bits(V::less_equal(slack, V::set(far))))
                << (k * kLanes);
      }
      if ((bits & free) != 0) bits = (bits & ~free) | std::uint64_t{1} << 63;
      next[own] = bits & ~(std::uint64_t{1} << own);
    }
    if (!(far - rounding > (rounding - V::first(V::least(lowest))) * static_cast<T>(rows_ + 1)))
      return false;
    std::uint64_t left = all_columns();
    if (free != 0) {
      next[63] = 0;
      for (Index c = 0; c < columns_; ++c)
        next[63] |=
            static_cast<std::uint64_t>(problem.row_of_column[c] >= 0 && -problem.price[c] <= far)
            << c;
      left = (left & ~free) | std::uint64_t{1} << 63;
    }
    // Repeatedly remove the nodes without an edge to a remaining node. Nodes on a cycle remain.
    const std::uint64_t nodes = left;
    while (left != 0) {
      const std::uint64_t leading = any_common_bit(next, free != 0 ? 64 : columns_, left) & nodes;
      if (leading == left) return false;
      left = leading;
    }
    return true;
  }

  // certify_small() with the near pairs as lists, and their slacks in double. Node r is row r and
  // its column; node `rows_` is the free columns.
  bool certify_any(const FastProblem<T>& problem, T magnitude, T rounding) const {
    const T far = 2 * static_cast<T>(rows_ + 4) * kEpsilon * magnitude + 4 * rounding;
    const Index max_edges = FastScratch<T>::max_edges(rows_);
    Index edges = 0;
    double lowest = 0;
    for (Index r = 0; r < rows_; ++r) {
      const T* const costs = row(problem, r);
      const Index own = problem.column_of_row[r];
      const double row_price =
          static_cast<double>(costs[own]) - static_cast<double>(problem.price[own]);
      const Vector limit = V::set(static_cast<T>(row_price) + far);
      scratch_.first_edge[r] = static_cast<std::int32_t>(edges);
      for (Index first = 0; first < stride_; first += 64) {
        std::uint64_t bits = 0;  // of 64 columns, few of which are near
        for (Index c = first; c < stride_ && c < first + 64; c += kLanes) {
          const Vector reduced = V::sub(V::load(costs + c), V::load(problem.price + c));
          bits |= static_cast<std::uint64_t>(V::bits(V::less_equal(reduced, limit))) << (c - first);
        }
        for (; bits != 0; bits &= bits - 1) {
          const Index c = first + __builtin_ctzll(bits);
          if (c == own) continue;
          const double slack =
              static_cast<double>(costs[c]) - static_cast<double>(problem.price[c]) - row_price;
          lowest = slack < lowest ? slack : lowest;
          if (!add_edge(edges, max_edges,
                        problem.row_of_column[c] < 0 ? rows_ : problem.row_of_column[c], slack))
            return false;
        }
      }
    }
    scratch_.first_edge[rows_] = static_cast<std::int32_t>(edges);
    if (rows_ < columns_) {
      for (Index r = 0; r < rows_; ++r) {
        const double slack = -static_cast<double>(problem.price[problem.column_of_row[r]]);
        if (slack <= static_cast<double>(far) && !add_edge(edges, max_edges, r, slack))
          return false;
      }
    }
    scratch_.first_edge[rows_ + 1] = static_cast<std::int32_t>(edges);
    if (!(static_cast<double>(far) - 2 * static_cast<double>(rounding) >
          -lowest * static_cast<double>(rows_ + 1)))
      return false;
    return acyclic(std::numeric_limits<double>::infinity()) ||
           all_cycles_cost(static_cast<double>(magnitude));
  }

  bool add_edge(Index& edges, Index max_edges, Index to, double slack) const {
    if (edges == max_edges) return false;
    scratch_.edge_to[edges] = static_cast<std::int32_t>(to);
    scratch_.edge_slack[edges++] = slack;
    return true;
  }

  // Whether the edges of at most this slack have no cycle, by depth-first search. `visit` holds the
  // stack of nodes, and for each node kNew, kDone or the next edge to follow.
  bool acyclic(double most) const {
    constexpr std::int32_t kNew = -1, kDone = -2;
    const Index nodes = rows_ + 1;
    std::int32_t* const stack = scratch_.visit;
    std::int32_t* const at = scratch_.visit + nodes;
    for (Index n = 0; n < nodes; ++n) at[n] = kNew;
    for (Index root = 0; root < nodes; ++root) {
      if (at[root] != kNew) continue;
      Index depth = 0;
      stack[0] = static_cast<std::int32_t>(root);
      at[root] = scratch_.first_edge[root];
      while (depth >= 0) {
        const std::int32_t node = stack[depth];
        if (at[node] == scratch_.first_edge[node + 1]) {
          at[node] = kDone;
          --depth;
          continue;
        }
        const std::int32_t edge = at[node]++, to = scratch_.edge_to[edge];
        if (scratch_.edge_slack[edge] > most) continue;
        if (at[to] >= 0) return false;  // still on the stack
        if (at[to] == kNew) {
          stack[++depth] = to;
          at[to] = scratch_.first_edge[to];
        }
      }
    }
    return true;
  }

  // Whether the slacks of every cycle have a sum above 0. Each edge is shortened by more than the
  // rounding error of double. If shortest paths then still converge (Bellman-Ford), there is no
  // negative cycle.
  bool all_cycles_cost(double magnitude) const {
    constexpr double kMargin = 16 * std::numeric_limits<double>::epsilon();
    const double margin = kMargin * magnitude;
    if (!acyclic(margin)) return false;  // in most cases a tie
    const Index nodes = rows_ + 1;
    const Index passes = std::min(nodes, Index{64});
    for (Index n = 0; n < nodes; ++n) scratch_.potential[n] = 0;
    for (Index pass = 0; pass < passes; ++pass) {
      bool changed = false;
      for (Index n = 0; n < nodes; ++n) {
        for (std::int32_t e = scratch_.first_edge[n]; e < scratch_.first_edge[n + 1]; ++e) {
          const double reached = scratch_.potential[n] + scratch_.edge_slack[e] - margin;
          if (reached < scratch_.potential[scratch_.edge_to[e]]) {
            scratch_.potential[scratch_.edge_to[e]] = reached;
            changed = true;
          }
        }
      }
      if (!changed) return true;
    }
    return false;
  }

  FastScratch<T> scratch_;
  Index rows_, columns_, stride_;
};

}  // namespace
}  // namespace osc::cpu
