#include OSC_SIMD  // first: the kernels are written in it

// The variance and covariance of features, tile by tile.
//
//   centre     samples less their mean: less its first estimate, then less the mean of the
//              difference, so that a large mean costs no digits
//   covary     products of two tiles of features over blocks of samples, which are added up in
//              double; and the gradients of the covariances
//   gradient   factor * centred * gradients of the covariances, a symmetric matrix

#include "simd/matrix_product.hpp"
#include "variance_covariance/task.hpp"

namespace osc::cpu {
namespace {

template <typename T>
class VarianceCovariance {
  using Task = VarianceCovarianceTask<T>;
  using A = typename Computed<T>::Type;
  using V = Simd<A>;
  using Vector = typename V::Vector;
  static constexpr Index kLanes = V::kLanes, kTile = Task::kTile, kBlock = Task::kBlock,
                         kVectors = kTile / kLanes;

 public:
  // `memory` has kVarianceMemory bytes.
  VarianceCovariance(const Task& task, void* memory)
      : task_(task),
        totals_(static_cast<double*>(memory)),
        products_(reinterpret_cast<A*>(totals_ + kTile * kTile)) {
    static_assert(Task::kWholeRows % MatrixProduct<A>::kRows == 0 &&
                  kTile % MatrixProduct<A>::kRows == 0);
    static_assert(kTile * kTile * sizeof(double) + kBlock * kTile * sizeof(A) <= kVarianceMemory);
  }

  void centre(Index tile) const {
    const Index features = features_of(tile), rows = task_.rows;
    A* const centred = task_.centred + tile * rows * kTile;
    const T* const x = task_.x + tile * kTile;
    const auto read = [&](Index n, Index v) {
      const Index left = features - v * kLanes;
      const T* const place = x + n * task_.sample_stride + v * kLanes;
      return left >= kLanes ? V::load(place)
             : left > 0     ? V::load_first(place, left, A(0))
                            : V::set(0);
    };
    A* const means = products_;
    find_means(means, read);
    find_means(means + kTile, [&](Index n, Index v) {
      const Vector value = V::sub(read(n, v), V::load(means + v * kLanes));
      V::store(centred + n * kTile + v * kLanes, value);
      return value;
    });
    for (Index n = 0; n < task_.samples; ++n) {
      for (Index v = 0; v < kVectors; ++v) {
        A* const place = centred + n * kTile + v * kLanes;
        V::store(place, V::sub(V::load(place), V::load(means + kTile + v * kLanes)));
      }
    }
    for (Index i = task_.samples * kTile; i < rows * kTile; ++i) centred[i] = 0;
  }

  void covary(Index pair) const {
    Index x = 0, y = pair;
    for (; y >= task_.tiles - x; ++x) y -= task_.tiles - x;
    y += x;
    for (Index i = 0; i < kTile * kTile; ++i) totals_[i] = 0;
    const Index rows = features_of(x), columns = features_of(y),
                vectors = (columns + kLanes - 1) / kLanes;
    for (Index n = 0; n < task_.samples; n += kBlock) {
      const Index depth = least(kBlock, task_.samples - n);
      MatrixProduct<A>::template multiply<false>(centred_at(x, n), 1, kTile, rows, centred_at(y, n),
                                                 kTile, vectors, depth, products_, kTile);
      for (Index i = 0; i < rows; ++i) {
        for (Index j = 0; j < vectors * kLanes; ++j)
          totals_[i * kTile + j] += static_cast<double>(products_[i * kTile + j]);
      }
    }
    double squares = 0;
    for (Index i = 0; i < rows; ++i) {
      for (Index j = x == y ? i : 0; j < columns; ++j) {
        const Index d = x * kTile + i, e = y * kTile + j;
        const double covariance = totals_[i * kTile + j] / static_cast<double>(task_.samples - 1);
        double gradient = task_.covariance_weight * covariance;
        if (d == e) {
          task_.variances[d] = covariance;
          const double deviation = __builtin_sqrt(covariance + kVarianceFloor);
          gradient = deviation >= 1 ? 0 : task_.variance_weight / deviation;
        } else {
          squares += 2 * covariance * covariance;
        }
        if (!task_.covariance_gradients) continue;
        gradient_at(y, d)[j] = static_cast<A>(gradient);
        gradient_at(x, e)[i] = static_cast<A>(gradient);
      }
      for (Index j = columns; j < kTile && task_.covariance_gradients; ++j)
        gradient_at(y, x * kTile + i)[j] = 0;
    }
    task_.squares[pair] = squares;
  }

  void write_gradient(Index block) const {
    const Index first = block * kBlock, rows = least(kBlock, task_.samples - first);
    const Vector factor = V::set(static_cast<A>(task_.factor));
    for (Index y = 0; y < task_.tiles; ++y) {
      const Index columns = features_of(y), vectors = (columns + kLanes - 1) / kLanes;
      for (Index i = 0; i < kBlock * kTile; ++i) products_[i] = 0;
      for (Index x = 0; x < task_.tiles; ++x) {
        MatrixProduct<A>::template multiply<true>(centred_at(x, first), kTile, 1, rows,
                                                  gradient_at(y, x * kTile), kTile, vectors,
                                                  features_of(x), products_, kTile);
      }
      for (Index i = 0; i < rows; ++i) {
        T* const target = task_.grad_x + (first + i) * task_.grad_x_stride + y * kTile;
        for (Index v = 0; v < vectors; ++v) {
          const Vector value = V::mul(V::load(products_ + i * kTile + v * kLanes), factor);
          if ((v + 1) * kLanes <= columns) {
            V::store(target + v * kLanes, value);
          } else {
            V::store_first(target + v * kLanes, columns - v * kLanes, value);
          }
        }
      }
    }
  }

 private:
  static Index least(Index a, Index b) { return a < b ? a : b; }
  Index features_of(Index tile) const { return least(kTile, task_.features - tile * kTile); }
  const A* centred_at(Index tile, Index n) const {
    return task_.centred + (tile * task_.rows + n) * kTile;
  }
  A* gradient_at(Index tile, Index feature) const {
    return task_.covariance_gradients + (tile * task_.features + feature) * kTile;
  }

  // The mean of read(n, v) over samples n, for each vector v of a tile. Reads each once, in order.
  template <typename Read>
  void find_means(A* means, const Read& read) const {
    for (Index i = 0; i < kTile; ++i) totals_[i] = 0;
    for (Index first = 0; first < task_.samples; first += kBlock) {
      Vector sums[kVectors];
      for (Index v = 0; v < kVectors; ++v) sums[v] = V::set(0);
      for (Index n = first; n < least(first + kBlock, task_.samples); ++n) {
        for (Index v = 0; v < kVectors; ++v) sums[v] = V::add(sums[v], read(n, v));
      }
      for (Index v = 0; v < kVectors; ++v) V::store(means + v * kLanes, sums[v]);
      for (Index i = 0; i < kTile; ++i) totals_[i] += static_cast<double>(means[i]);
    }
    for (Index i = 0; i < kTile; ++i)
      means[i] = static_cast<A>(totals_[i] / static_cast<double>(task_.samples));
  }

  const Task& task_;
  double* totals_;  // [kTile, kTile]
  A* products_;     // [kBlock, kTile]
};

template <typename T, auto step>
void steps(const VarianceCovarianceTask<T>& task, Index begin, Index end, void* memory) {
  const VarianceCovariance<T> computation(task, memory);
  for (Index i = begin; i < end; ++i) (computation.*step)(i);
}

template <typename T>
constexpr VarianceCovarianceKernels<T> kKernels{steps<T, &VarianceCovariance<T>::centre>,
                                                steps<T, &VarianceCovariance<T>::covary>,
                                                steps<T, &VarianceCovariance<T>::write_gradient>};

}  // namespace

const KernelTable<VarianceCovarianceKernels> OSC_INSTRUCTION_SET::variance_covariance_kernels{
    kKernels<double>, kKernels<float>, kKernels<float16>, kKernels<bfloat16>};

}  // namespace osc::cpu
