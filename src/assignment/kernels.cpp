#include OSC_SIMD  // first: the kernels are written in it

#include "assignment/assigner.hpp"
#include "assignment/task.hpp"

namespace osc::cpu {
namespace {

template <typename T>
Index problems_pending(Index rows, Index columns) {
  return Assigner<T>::is_small(rows < columns ? columns : rows) ? Assigner<T>::kMostPending : 1;
}

template <typename T>
std::size_t memory_of(Index rows, Index columns) {
  using A = typename Computed<T>::Type;
  Arena arena;
  Assigner<A>(arena, rows < columns ? rows : columns, rows < columns ? columns : rows,
              problems_pending<A>(rows, columns));
  return arena.used();
}

template <typename T>
View<const T, 2> transposed(const View<const T, 2>& matrix) {
  return {matrix.data, {matrix.sizes[1], matrix.sizes[0]}, {matrix.strides[1], matrix.strides[0]}};
}

template <typename T>
void assign(const AssignmentTask<T>& task, Index begin, Index end, void* memory) {
  using A = typename Computed<T>::Type;
  const Index rows = task.cost.sizes[1], columns = task.cost.sizes[2];
  // The solver's rows are the shorter side. Of a square matrix the fast solver may take the columns
  // for its rows, since it finds unique optima only. That saves packing small ones.
  const bool is_tall = rows > columns, is_square = rows == columns;
  const Index most_pending = problems_pending<A>(rows, columns);
  const bool takes_columns =
      is_square && most_pending > 1 && task.cost.strides[2] != 1 && task.cost.strides[1] == 1;
  Arena arena(memory);
  Assigner<A> assigner(arena, is_tall ? columns : rows, is_tall ? rows : columns, most_pending);
  const A sign = task.maximize ? A(-1) : A(1);
  const auto rows_of = [&](Index problem) {
    const View<const T, 2> matrix{task.cost.data + problem * task.cost.strides[0],
                                  {rows, columns},
                                  {task.cost.strides[1], task.cost.strides[2]}};
    return is_tall ? transposed(matrix) : matrix;
  };
  const auto write = [&](Index problem, AssignmentStatus status, bool transposes,
                         const FastProblem<A>& answer) {
    const bool solved = status == AssignmentStatus::solved;
    task.statuses[problem] = status;
    write_indices(transposes ? answer.row_of_column : answer.column_of_row, rows, solved,
                  task.col4row ? task.col4row + problem * rows : nullptr);
    write_indices(transposes ? answer.column_of_row : answer.row_of_column, columns, solved,
                  task.row4col ? task.row4col + problem * columns : nullptr);
  };
  const auto write_fast = [&](Index problem, Index i) {
    write(problem, AssignmentStatus::solved, takes_columns || is_tall, assigner.problem(i));
  };
  const auto solve_by_crouse = [&](Index problem, Index i) {
    const AssignmentStatus status =
        assigner.solve_by_crouse(assigner.rows_of(rows_of(problem), sign, i), i);
    write(problem, status, is_tall, assigner.problem(i));
  };
  Index pending[Assigner<A>::kMostPending], count = 0;
  const auto solve_pending = [&] {
    assigner.reduce(count);
    for (Index i = 0; i < count; ++i) {
      if (assigner.finish(i)) {
        write_fast(pending[i], i);
      } else {
        solve_by_crouse(pending[i], i);
      }
    }
    count = 0;
  };
  for (Index problem = begin; problem < end; ++problem) {
    const View<const T, 2> given = rows_of(problem);
    const CostRows<A> costs =
        assigner.rows_of(takes_columns ? transposed(given) : given, sign, count);
    if (most_pending == 1 || !is_square) {
      if (const auto status = assigner.solve_if_short(costs, count)) {
        write(problem, *status, is_tall, assigner.problem(count));
        continue;
      }
    }
    switch (assigner.begin(costs, count)) {
      case Begun::not_finite:
      case Begun::contested: solve_by_crouse(problem, count); break;
      case Begun::solved: write_fast(problem, count); break;
      case Begun::pending:
        pending[count++] = problem;
        if (count == most_pending) solve_pending();
    }
  }
  solve_pending();
}

template <typename T>
constexpr AssignmentKernels<T> kKernels{memory_of<T>, assign<T>};

}  // namespace

const KernelTable<AssignmentKernels> OSC_INSTRUCTION_SET::assignment_kernels{
    kKernels<double>, kKernels<float>, kKernels<float16>, kKernels<bfloat16>};

}  // namespace osc::cpu
