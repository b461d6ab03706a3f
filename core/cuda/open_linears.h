// Linears of few rows that have not been launched yet, so that what follows may share their launch: the norm before
// them, ops on their results, and ops that have nothing to do with them.
#pragma once

#include <cstdint>
#include <span>

#include "core/cuda/kernels.h"

namespace ft::cuda {

// One launch. What it computes are the sums of the kernels that would compute it one after the other.
struct JointLaunch {
  LinearTask tasks[kLinearTasks];
  int task_count = 0;
  // Weight of a norm that the common x of all tasks goes through first; null: none. `normed` gets the result.
  const float* norm = nullptr;
  Matrix normed;
  RowJob jobs[kRowJobs];
  int job_count = 0;
  CompressJob entries[kCompressJobs];
  int entry_count = 0;
};
// linear_joint.cu: at least one task, official numerics. A job whose x (and g) are y of tasks runs after them.
void linear_joint(Queue queue, const JointLaunch& launch, float eps, int32_t* tickets);

class OpenLinears {
 public:
  bool empty() const { return launch_.task_count == 0 && launch_.norm == nullptr; }
  // Each returns whether it could join what is open; if not, nothing has changed. All are of official numerics.
  // y = rms_norm(x), which do not overlap: where nothing is open.
  bool add_norm(const Matrix& x, const float* weight, const Matrix& y);
  // Tasks of few_rows(), alone or behind a norm that they all read.
  bool add(std::span<const LinearTask> tasks);
  // Jobs of one `scope` do not depend on each other; those of different scopes do not join the same launch.
  bool add(const RowJob& job, uint64_t scope);
  bool add(const CompressJob& job, uint64_t scope);
  // Launches it all, after which nothing is open.
  void launch(Queue queue, float eps, int32_t* tickets);

 private:
  bool takes_scope(uint64_t scope);

  JointLaunch launch_;
  Matrix norm_input_;
  uint64_t scope_ = 0;
};

}  // namespace ft::cuda
