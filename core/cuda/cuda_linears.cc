// Linears: which kernel computes a product, what shares a launch, and the rows that a matrix library takes.
#include <algorithm>

#include "core/check.h"
#include "core/cuda/cuda_backend.h"
#include "core/ranks/own_part.h"

namespace ft::cuda {

namespace {

LinearTask rows_of(LinearTask task, RowRange rows) {
  task.x = Matrix(task.x.row(rows.first), rows.count, task.x.cols, task.x.stride);
  task.y = Matrix(task.y.row(rows.first), rows.count, task.y.cols, task.y.stride);
  return task;
}

}  // namespace

LinearTask CudaBackend::task_of(const LinearCall& call) const {
  const WeightFormat format = call.weight->format;
  const bool scaled = format == WeightFormat::kFp8Block || format == WeightFormat::kFp4Row;
  return {call.x,
          *call.weight,
          call.y,
          official() && scaled && call.input == LinearInput::kQ8,
          official() && call.output == LinearOutput::kBF16,
          call.groups,
          false,
          {}};
}

bool CudaBackend::takes_few(const LinearTask& task) const {
  return official() && tensor_core_shape(task) && few_rows(task);
}

size_t CudaBackend::linear_scratch_bytes(const LinearTask& task) const {
  const auto values = static_cast<size_t>(task.x.rows * task.x.cols);
  if (takes_few(task)) return 0;
  if (official() && tensor_core_shape(task)) return values * 2;
  return task.quantize ? values * sizeof(float) : 0;
}

void CudaBackend::run_linear(const LinearTask& task, void* memory) {
  if (takes_few(task)) {
    linear_few(queue(), &task, 1);
  } else if (official() && tensor_core_shape(task)) {
    prepare_input(queue(), task, memory);
    linear_many(queue(), task, memory);
  } else {
    linear_exact(queue(), task, static_cast<float*>(memory));
  }
}

void CudaBackend::set_prompt_rows(std::span<const RowRange> ranges) {
  FT_CHECK(!recording_);
  if (prompt_linears_.has_value()) prompts_.assign(ranges.begin(), ranges.end());
}

template <class Part>
void CudaBackend::for_parts(int64_t rows, const Part& part) const {
  int64_t at = 0;
  for (const RowRange& prompt : prompts_) {
    FT_CHECK(prompt.first >= at && prompt.count > 0 && prompt.first + prompt.count <= rows, prompt.first,
             prompt.count, at, rows);
    if (prompt.first > at) part(RowRange{at, prompt.first - at}, false);
    part(prompt, true);
    at = prompt.first + prompt.count;
  }
  if (rows > at) part(RowRange{at, rows - at}, false);
}

void CudaBackend::do_linear(const LinearCall& call) {
  do_linears(std::span(&call, 1));
}

void CudaBackend::do_linears(std::span<const LinearCall> calls) {
  for_parts(calls[0].x.rows, [&](RowRange rows, bool is_prompt) {
    if (is_prompt) {
      launch_prompt_linears(calls, rows);
    } else {
      launch_linears(calls, rows);
    }
  });
}

// Products of few rows are launched together, the others one by one; those that follow each other share their input.
void CudaBackend::launch_linears(std::span<const LinearCall> calls, RowRange rows) {
  LinearTask together[kLinearTasks];
  int count = 0;
  // They stay open, for what comes next.
  const auto launch_together = [&] {
    const std::span tasks(together, static_cast<size_t>(std::exchange(count, 0)));
    if (tasks.empty() || open_.add(tasks)) return;
    close();
    FT_CHECK(open_.add(tasks));
  };
  LinearTask prepared;  // whose input the scratch holds
  for (const LinearCall& call : calls) {
    if (call.weight->rows == 0) continue;  // others own them all
    LinearTask task = rows_of(task_of(own_part(call)), rows);
    task.grouped = call.groups > 1;
    if (takes_few(task)) {
      together[count++] = task;
      if (count == kLinearTasks) launch_together();
      continue;
    }
    void* memory = scratch(linear_scratch_bytes(task));
    if (official() && tensor_core_shape(task)) {
      if (!same_input(prepared, task)) prepare_input(queue(), task, memory);
      linear_many(queue(), task, memory);
      prepared = task;
    } else {
      run_linear(task, memory);
      prepared = {};
    }
  }
  launch_together();
}

// What the library does not take is computed like any other row.
void CudaBackend::launch_prompt_linears(std::span<const LinearCall> calls, RowRange rows) {
  LinearTask prepared;
  void* prepared_memory = nullptr;
  auto prepared_way = PromptLinears::Way::kNone;
  for (const LinearCall& call : calls) {
    if (call.weight->rows == 0) continue;
    LinearTask task = rows_of(task_of(own_part(call)), rows);
    task.grouped = call.groups > 1;
    const auto way = prompt_linears_->way_of(task);
    if (way == PromptLinears::Way::kNone) {
      launch_linears(std::span(&call, 1), rows);
      prepared_way = way;
      continue;
    }
    void* memory = scratch(PromptLinears::scratch_bytes(task, way));
    const bool is_there = way == prepared_way && memory == prepared_memory && same_input(prepared, task);
    prompt_linears_->run(queue(), task, way, is_there, memory);
    prepared = task;
    prepared_memory = memory;
    prepared_way = way;
  }
}

void CudaBackend::do_shard_linear(const LinearCall& call, int64_t unit) {
  LinearTask task = task_of(own_columns(call));
  task.parts = parts_of({call.weight->all_cols(), unit}, ranks());
  const bool round = task.round;
  const size_t sum_bytes = rank_sum_bytes(call.y);
  // Of each part the way to compute it, and the scratch for that.
  const auto way_of = [&](const LinearTask& part, bool is_prompt) {
    return is_prompt && part.weight.cols > 0 ? prompt_linears_->way_of(part) : PromptLinears::Way::kNone;
  };
  size_t linear_bytes = 0;
  for_parts(task.x.rows, [&](RowRange rows, bool is_prompt) {
    const LinearTask part = rows_of(task, rows);
    const auto way = way_of(part, is_prompt);
    linear_bytes =
        std::max(linear_bytes, way == PromptLinears::Way::kNone ? linear_scratch_bytes(part)
                                                                : PromptLinears::scratch_bytes(part, way));
  });
  uint8_t* memory = static_cast<uint8_t*>(scratch(sum_bytes + linear_bytes));
  task.y = own_sum(call.y, memory);
  task.round = round && ranks().size == 1;
  if (task.weight.cols > 0) {
    for_parts(task.x.rows, [&](RowRange rows, bool is_prompt) {
      const LinearTask part = rows_of(task, rows);
      const auto way = way_of(part, is_prompt);
      if (way == PromptLinears::Way::kNone) {
        run_linear(part, memory + sum_bytes);
      } else {
        prompt_linears_->run(queue(), part, way, false, memory + sum_bytes);
      }
    });
  } else {
    clear(task.y);
  }
  add_ranks(task.y, round, call.y);
}

}  // namespace ft::cuda
