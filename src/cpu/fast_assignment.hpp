// One assignment problem in vector registers: a solver that answers only where the optimum is the only one, and proves it. Everything else (ties, near ties,
// infinite or extreme costs) it leaves to PublishedAssignment, which breaks ties as published. Compiled once an instruction set; see cpu/kernels.hpp.
//
//   reduce    prices v of the columns start at their least costs (square) or at 0; augmenting row reduction and shortest augmenting paths then assign every row. After R. Jonker
//             and A. Volgenant, "A shortest augmenting path algorithm for dense and sparse linear assignment problems", Computing 38, 1987. All in the type of the costs.
//   certify   whatever the rounding did: with u of each row such that its own pair has slack c - u - v = 0, every other assignment differs from ours by cycles of
//             exchanges and costs more by the sum of their slacks. So ours is the only optimum if no cycle has a sum <= 0. docs/design.md has the argument.
#pragma once

#include <cstdint>
#include <limits>

namespace osc::cpu {
namespace {

// Memory of the solver for problems of `rows` <= `columns`. `stride` is a multiple of the lanes of a vector, at least `columns`.
template <typename T>
struct FastAssignmentMemory {
  T* costs;                     // [rows, stride]; columns beyond the last cost +inf
  T* price;                     // [stride]
  T* open_price;                // [stride], -inf of a column whose distance is final
  T* distance;                  // [stride], +inf of a column whose distance is final
  T* previous;                  // [stride], the row before each column on the shortest path; small integers are exact in T
  T* final_distance;            // [rows], of the columns in `closed`
  std::int32_t* column_of_row;  // [rows]
  std::int32_t* row_of_column;  // [stride], -1 where free
  std::int32_t* rows_left;      // [rows]
  std::int32_t* closed;         // [rows]
  std::int32_t* first_edge;     // [rows + 2], of each node of the graph of exchanges
  std::int32_t* visit;          // [2 * (rows + 1)]
  std::int32_t* edge_to;        // [max_edges(rows)]
  double* edge_slack;           // [max_edges(rows)]
  double* potential;            // [rows + 1]

  static constexpr std::int64_t max_edges(std::int64_t rows) { return 8 * rows + 16; }

  template <typename Arena>
  static FastAssignmentMemory take(Arena& arena, std::int64_t rows, std::int64_t stride) {
    FastAssignmentMemory m{};
    m.costs = arena.template take<T>(rows * stride);
    m.price = arena.template take<T>(stride);
    m.open_price = arena.template take<T>(stride);
    m.distance = arena.template take<T>(stride);
    m.previous = arena.template take<T>(stride);
    m.final_distance = arena.template take<T>(rows);
    m.column_of_row = arena.template take<std::int32_t>(rows);
    m.row_of_column = arena.template take<std::int32_t>(stride);
    m.rows_left = arena.template take<std::int32_t>(rows);
    m.closed = arena.template take<std::int32_t>(rows);
    m.first_edge = arena.template take<std::int32_t>(rows + 2);
    m.visit = arena.template take<std::int32_t>(2 * (rows + 1));
    m.edge_to = arena.template take<std::int32_t>(max_edges(rows));
    m.edge_slack = arena.template take<double>(max_edges(rows));
    m.potential = arena.template take<double>(rows + 1);
    return m;
  }
};

// kVectors: registers a row takes; 0 where it is walked through in memory.
template <typename T, int kVectors>
class FastAssignment {
  using V = Simd<T>;
  using Vector = typename V::Vector;
  static constexpr std::int64_t kLanes = V::kLanes;
  static constexpr T kInfinity = std::numeric_limits<T>::infinity();
  static constexpr T kEpsilon = std::numeric_limits<T>::epsilon();

 public:
  // `largest` is the largest magnitude of a cost, all of which are finite.
  FastAssignment(const FastAssignmentMemory<T>& memory, std::int64_t rows, std::int64_t columns, std::int64_t stride, T largest)
      : m_(memory), rows_(rows), columns_(columns), stride_(stride), largest_(largest) {}

  // True where memory.column_of_row and row_of_column are the only optimum. False: not known.
  bool solve() {
    // Sums and differences of costs must neither overflow nor lose their bits to denormals.
    constexpr T kHuge = sizeof(T) == 4 ? T(0x1p100) : T(0x1p960), kTiny = 1 / kHuge;
    if (!(largest_ > kTiny && largest_ < kHuge) || rows_ > (std::int64_t{1} << 23)) return false;
    if (rows_ == columns_) {
      reduce_columns();
    } else {
      leave_all_rows();
    }
    if (left_ > 0) reduce_rows();
    for (std::int64_t i = 0; i < left_; ++i) augment(m_.rows_left[i]);
    return certify();
  }

 private:
  std::int64_t vectors() const {
    if constexpr (kVectors > 0) {
      return kVectors;
    } else {
      return stride_ / kLanes;
    }
  }
  const T* row(std::int64_t r) const { return m_.costs + r * stride_; }
  static Vector load(const T* x, std::int64_t k) { return V::load(x + k * kLanes); }
  static void store(T* x, std::int64_t k, Vector a) { V::store(x + k * kLanes, a); }

  // Each column is priced at its least cost, and goes to a row that has it, as far as rows go.
  void reduce_columns() {
    for (std::int64_t k = 0; k < vectors(); ++k) {
      Vector least = load(row(0), k);
      for (std::int64_t r = 1; r < rows_; ++r) least = V::min(least, load(row(r), k));
      store(m_.price, k, least);
    }
    for (std::int64_t c = columns_; c < stride_; ++c) m_.price[c] = 0;
    for (std::int64_t c = 0; c < stride_; ++c) m_.row_of_column[c] = -1;
    left_ = 0;
    for (std::int64_t r = 0; r < rows_; ++r) {
      std::int32_t column = -1;
      for (std::int64_t k = 0; k < vectors() && column < 0; ++k) {
        for (std::uint32_t bits = V::bits(V::equal(load(row(r), k), load(m_.price, k))); bits != 0 && column < 0; bits &= bits - 1) {
          const auto candidate = static_cast<std::int32_t>(k * kLanes + __builtin_ctz(bits));
          if (m_.row_of_column[candidate] < 0) column = candidate;
        }
      }
      if (column >= 0) {
        assign(static_cast<std::int32_t>(r), column);
      } else {
        m_.rows_left[left_++] = static_cast<std::int32_t>(r);
      }
    }
  }

  void leave_all_rows() {
    for (std::int64_t k = 0; k < vectors(); ++k) store(m_.price, k, V::set(0));
    for (std::int64_t c = 0; c < stride_; ++c) m_.row_of_column[c] = -1;
    for (std::int64_t r = 0; r < rows_; ++r) m_.rows_left[r] = static_cast<std::int32_t>(r);
    left_ = rows_;
  }

  void assign(std::int32_t r, std::int64_t column) {
    m_.column_of_row[r] = static_cast<std::int32_t>(column);
    m_.row_of_column[column] = r;
  }

  // Augmenting row reduction: a row takes its best column and lowers the price to what makes the second best as good; the row that had the column goes next. The
  // number of turns is limited, since with rounding prices may stop to fall; rows that are left over wait for a shortest path.
  void reduce_rows() {
    std::int64_t turns = 2 * rows_;
    Vector price[kVectors > 0 ? kVectors : 1];
    for (int k = 0; k < kVectors; ++k) price[k] = load(m_.price, k);
    for (int round = 0; round < 2; ++round) {
      const std::int64_t to_do = left_;
      left_ = 0;
      for (std::int64_t next = 0; next < to_do; ++next) {
        std::int32_t r = m_.rows_left[next];
        while (r >= 0) {
          if (--turns < 0 || !take_best(price, r)) {
            m_.rows_left[left_++] = r;
            break;
          }
        }
      }
    }
    for (int k = 0; k < kVectors; ++k) store(m_.price, k, price[k]);
  }

  // Row r takes its best column; r becomes the row that had it, -1 for none. False, and nothing changes, where that row would only take it back.
  bool take_best(Vector* price, std::int32_t& r) {
    const T* const costs = row(r);
    Vector first = V::set(kInfinity), second = first;
    std::int64_t column = 0;
    std::int32_t displaced = -1;
    if constexpr (kVectors > 0) {
      Vector x[kVectors];
      for (int k = 0; k < kVectors; ++k) {
        x[k] = V::sub(load(costs, k), price[k]);
        second = k == 0 ? second : V::min(second, V::max(first, x[k]));
        first = k == 0 ? x[k] : V::min(first, x[k]);
      }
      V::least_two(first, second);
      const Vector gap = V::sub(second, first);
      std::uint64_t bits = 0;
      for (int k = 0; k < kVectors; ++k) {
        const auto best = V::equal(x[k], first);
        bits |= static_cast<std::uint64_t>(V::bits(best)) << (k * kLanes);
        price[k] = V::select(best, V::sub(price[k], gap), price[k]);  // where several are best, gap is 0
      }
      column = __builtin_ctzll(bits);
      displaced = m_.row_of_column[column];
      if (displaced >= 0 && !(V::first(gap) > 0)) return false;
    } else {
      for (std::int64_t k = 0; k < vectors(); ++k) {
        const Vector x = V::sub(load(costs, k), load(m_.price, k));
        store(m_.distance, k, x);
        second = V::min(second, V::max(first, x));
        first = V::min(first, x);
      }
      V::least_two(first, second);
      column = find(m_.distance, first);
      const T gap = V::first(second) - V::first(first);
      displaced = m_.row_of_column[column];
      if (displaced >= 0 && !(gap > 0)) return false;
      m_.price[column] -= gap;
    }
    assign(r, column);
    r = displaced;
    return true;
  }

  // The first column whose value is `value`, which there is.
  std::int64_t find(const T* values, Vector value) const {
    for (std::int64_t k = 0;; ++k) {
      const std::uint32_t bits = V::bits(V::equal(load(values, k), value));
      if (bits != 0) return k * kLanes + __builtin_ctz(bits);
    }
  }

  // Dijkstra's search over reduced costs, from a row without a column to the nearest free column.
  void augment(std::int32_t new_row) {
    std::int64_t closed = 0;
    std::int64_t column = 0;
    Vector nearest = V::set(0), offset = nearest;
    Vector open_price[kVectors > 0 ? kVectors : 1], distance[kVectors > 0 ? kVectors : 1], previous[kVectors > 0 ? kVectors : 1];
    for (std::int64_t k = 0; k < vectors(); ++k) {
      if constexpr (kVectors > 0) {
        open_price[k] = load(m_.price, k);
        distance[k] = V::set(kInfinity);
        previous[k] = V::set(0);
      } else {
        store(m_.open_price, k, load(m_.price, k));
        store(m_.distance, k, V::set(kInfinity));
      }
    }
    for (std::int32_t r = new_row;;) {
      const T* const costs = row(r);
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
        for (int k = 0; k < kVectors; ++k) bits |= static_cast<std::uint64_t>(V::bits(V::equal(distance[k], nearest))) << (k * kLanes);
        column = __builtin_ctzll(bits);
      } else {
        for (std::int64_t k = 0; k < vectors(); ++k) {
          const Vector reached = V::sub(V::sub(load(costs, k), load(m_.open_price, k)), offset);
          const Vector before = load(m_.distance, k);
          const Vector now = V::min(reached, before);
          store(m_.previous, k, V::select(V::less(reached, before), from, load(m_.previous, k)));
          store(m_.distance, k, now);
          least = V::min(least, now);
        }
        nearest = V::least(least);
        column = find(m_.distance, nearest);
      }
      r = m_.row_of_column[column];
      if (r < 0) break;
      offset = V::sub(V::sub(V::set(row(r)[column]), V::set(m_.price[column])), nearest);
      m_.closed[closed] = static_cast<std::int32_t>(column);
      m_.final_distance[closed++] = V::first(nearest);
      if constexpr (kVectors > 0) {
        for (int k = 0; k < kVectors; ++k) {
          const auto here = V::mask((std::uint64_t{1} << column) >> (k * kLanes));
          distance[k] = V::select(here, V::set(kInfinity), distance[k]);
          open_price[k] = V::select(here, V::set(-kInfinity), open_price[k]);
        }
      } else {
        m_.distance[column] = kInfinity;
        m_.open_price[column] = -kInfinity;
      }
    }
    for (int k = 0; k < kVectors; ++k) store(m_.previous, k, previous[k]);
    for (std::int64_t i = 0; i < closed; ++i) m_.price[m_.closed[i]] += m_.final_distance[i] - V::first(nearest);
    for (std::int32_t r = -1; r != new_row;) {
      r = static_cast<std::int32_t>(m_.previous[column]);
      const std::int64_t next = m_.column_of_row[r];
      assign(r, column);
      column = next;
    }
  }

  // Whether no exchange is as good. `magnitude` bounds costs and prices, `rounding` what the computed slack of a pair can be off.
  bool certify() {
    Vector highest = V::set(0);
    for (std::int64_t k = 0; k < vectors(); ++k) highest = V::max(highest, V::abs(load(m_.price, k)));
    const T magnitude = V::first(V::greatest(highest)) + largest_;
    const T rounding = 4 * kEpsilon * magnitude;
    return (columns_ < 64 + (rows_ == columns_) && certify_small(rounding)) || certify_any(magnitude, rounding);
  }

  // Every pair that is not far from tight as a bit: without a cycle among them, every cycle has a pair that is. Node c is column c and the row that has it; all free columns
  // together are one node more, which nobody misses: a row may leave its column for a free one, and its column, at price v <= 0, may then stay free.
  bool certify_small(T rounding) const {
    const T far = 4 * static_cast<T>(rows_ + 2) * rounding;
    std::uint64_t next[64];
    std::uint64_t free = 0;
    for (std::int64_t c = 0; c < columns_; ++c) free |= static_cast<std::uint64_t>(m_.row_of_column[c] < 0) << c;
    Vector lowest = V::set(0);
    for (std::int64_t r = 0; r < rows_; ++r) {
      const T* const costs = row(r);
      const std::int64_t own = m_.column_of_row[r];
      const Vector row_price = V::set(costs[own] - m_.price[own]);
      std::uint64_t bits = 0;
      for (std::int64_t k = 0; k < vectors(); ++k) {
        const Vector slack = V::sub(V::sub(load(costs, k), load(m_.price, k)), row_price);
        lowest = V::min(lowest, slack);
        bits |= static_cast<std::uint64_t>(V::bits(V::less_equal(slack, V::set(far)))) << (k * kLanes);
      }
      if ((bits & free) != 0) bits = (bits & ~free) | std::uint64_t{1} << 63;
      next[own] = bits & ~(std::uint64_t{1} << own);
    }
    if (!(far - rounding > (rounding - V::first(V::least(lowest))) * static_cast<T>(rows_ + 1))) return false;
    std::uint64_t nodes = columns_ == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << columns_) - 1;
    if (free != 0) {
      next[63] = 0;
      for (std::int64_t c = 0; c < columns_; ++c) next[63] |= static_cast<std::uint64_t>(m_.row_of_column[c] >= 0 && -m_.price[c] <= far) << c;
      nodes = (nodes & ~free) | std::uint64_t{1} << 63;
    }
    // Again and again take away the nodes that lead to none that is left.
    for (std::uint64_t left = nodes; left != 0;) {
      std::uint64_t leading = 0;
      if (free == 0) {
        for (std::int64_t c = 0; c < columns_; ++c) leading |= static_cast<std::uint64_t>((next[c] & left) != 0) << c;
      } else {
        for (std::uint64_t rest = left; rest != 0; rest &= rest - 1) {
          const int c = __builtin_ctzll(rest);
          leading |= static_cast<std::uint64_t>((next[c] & left) != 0) << c;
        }
      }
      if (leading == left) return false;
      left = leading;
    }
    return true;
  }

  // The same with the near pairs as lists, and their slacks in double. Node r is row r and its column; node `rows_` is the free columns.
  bool certify_any(T magnitude, T rounding) {
    const T far = 2 * static_cast<T>(rows_ + 4) * kEpsilon * magnitude + 4 * rounding;
    const std::int64_t max_edges = FastAssignmentMemory<T>::max_edges(rows_);
    std::int64_t edges = 0;
    double lowest = 0;
    for (std::int64_t r = 0; r < rows_; ++r) {
      const T* const costs = row(r);
      const std::int64_t own = m_.column_of_row[r];
      const double row_price = static_cast<double>(costs[own]) - static_cast<double>(m_.price[own]);
      const Vector limit = V::set(static_cast<T>(row_price) + far);
      m_.first_edge[r] = static_cast<std::int32_t>(edges);
      for (std::int64_t k = 0; k < vectors(); ++k) {
        for (std::uint32_t bits = V::bits(V::less_equal(V::sub(load(costs, k), load(m_.price, k)), limit)); bits != 0; bits &= bits - 1) {
          const std::int64_t c = k * kLanes + __builtin_ctz(bits);
          if (c == own) continue;
          const double slack = static_cast<double>(costs[c]) - static_cast<double>(m_.price[c]) - row_price;
          lowest = slack < lowest ? slack : lowest;
          if (!add_edge(edges, max_edges, m_.row_of_column[c] < 0 ? rows_ : m_.row_of_column[c], slack)) return false;
        }
      }
    }
    m_.first_edge[rows_] = static_cast<std::int32_t>(edges);
    if (rows_ < columns_) {
      for (std::int64_t r = 0; r < rows_; ++r) {
        const double slack = -static_cast<double>(m_.price[m_.column_of_row[r]]);
        if (slack <= static_cast<double>(far) && !add_edge(edges, max_edges, r, slack)) return false;
      }
    }
    m_.first_edge[rows_ + 1] = static_cast<std::int32_t>(edges);
    if (!(static_cast<double>(far) - 2 * static_cast<double>(rounding) > -lowest * static_cast<double>(rows_ + 1))) return false;
    return acyclic() || all_cycles_cost(static_cast<double>(magnitude));
  }

  bool add_edge(std::int64_t& edges, std::int64_t max_edges, std::int64_t to, double slack) {
    if (edges == max_edges) return false;
    m_.edge_to[edges] = static_cast<std::int32_t>(to);
    m_.edge_slack[edges++] = slack;
    return true;
  }

  // Depth first. visit: the stack of nodes, and for each node -1 (new), the next edge to follow, or kDone.
  bool acyclic() {
    constexpr std::int32_t kNew = -1, kDone = -2;
    const std::int64_t nodes = rows_ + 1;
    std::int32_t* const stack = m_.visit;
    std::int32_t* const at = m_.visit + nodes;
    for (std::int64_t n = 0; n < nodes; ++n) at[n] = kNew;
    for (std::int64_t root = 0; root < nodes; ++root) {
      if (at[root] != kNew) continue;
      std::int64_t depth = 0;
      stack[0] = static_cast<std::int32_t>(root);
      at[root] = m_.first_edge[root];
      while (depth >= 0) {
        const std::int32_t node = stack[depth];
        if (at[node] == m_.first_edge[node + 1]) {
          at[node] = kDone;
          --depth;
          continue;
        }
        const std::int32_t to = m_.edge_to[at[node]++];
        if (at[to] >= 0) return false;  // still on the stack
        if (at[to] == kNew) {
          stack[++depth] = to;
          at[to] = m_.first_edge[to];
        }
      }
    }
    return true;
  }

  // No cycle of a sum <= 0: with every edge shortened by more than what double can be off, shortest paths still settle.
  bool all_cycles_cost(double magnitude) {
    constexpr std::int64_t kPasses = 64;
    constexpr double kMargin = 16 * std::numeric_limits<double>::epsilon();
    const double margin = kMargin * magnitude;
    const std::int64_t nodes = rows_ + 1;
    for (std::int64_t n = 0; n < nodes; ++n) m_.potential[n] = 0;
    for (std::int64_t pass = 0; pass < kPasses; ++pass) {
      bool changed = false;
      for (std::int64_t n = 0; n < nodes; ++n) {
        for (std::int32_t e = m_.first_edge[n]; e < m_.first_edge[n + 1]; ++e) {
          const double reached = m_.potential[n] + m_.edge_slack[e] - margin;
          if (reached < m_.potential[m_.edge_to[e]]) {
            m_.potential[m_.edge_to[e]] = reached;
            changed = true;
          }
        }
      }
      if (!changed) return true;
    }
    return false;
  }

  FastAssignmentMemory<T> m_;
  std::int64_t rows_, columns_, stride_, left_ = 0;
  T largest_;
};

}  // namespace
}  // namespace osc::cpu
