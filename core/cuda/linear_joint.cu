// Linears of few rows with what lies around them, in one launch (open_linears.h).
//
// Blocks are, in this order: products; a row each of the norm's result; jobs that read no product; compressed entries.
// A product whose y a job reads has tickets: one for each head of a query, else one for all of it. The last block of a
// ticket runs the vectors of the job that have become complete.
#include <algorithm>

#include "core/cuda/compress_entry.cuh"
#include "core/cuda/last_block.cuh"
#include "core/cuda/linear_few.cuh"
#include "core/cuda/open_linears.h"
#include "core/cuda/row_jobs.cuh"

namespace ft::cuda {

namespace {

// A norm is computed again in every block of the products: so many blocks at most.
constexpr int64_t kNormBlocksMax = 1024;

struct JointArgs {
  Product product[kLinearTasks];
  // Of a product whose y a job reads:
  int8_t job_of[kLinearTasks];     // else -1
  int32_t unit[kLinearTasks];      // columns of y that have a ticket, whole blocks
  int32_t ticket[kLinearTasks];    // of the first
  int32_t arrivals[kLinearTasks];  // blocks of all products of the ticket; 0: those of the unit
  int32_t count;
  int32_t m;
  int32_t norm_block;  // the first block of each kind; products begin at 0
  int32_t job_block;
  int32_t entry_block;
  InputNorm norm;
  Matrix normed;
  RowJob job[kRowJobs];
  int32_t vectors[kRowJobs];
  int32_t first_block[kRowJobs + 1];  // behind job_block; an attached job has none
  int32_t job_count;
  int32_t row_floats;  // of shared memory for each warp of a job
  CompressJob entries[kCompressJobs];
  int32_t entry_count;
  float eps;
  int32_t* tickets;
};
static_assert(sizeof(JointArgs) <= 4000, "parameters of a kernel");

__device__ bool has_heads(const RowJob& job) {
  return job.kind == RowJob::Kind::kQuery || job.kind == RowJob::Kind::kIndexQuery;
}

// Behind block `block` of product `index`: the vectors that it has completed.
__device__ void run_after(const JointArgs& args, int index, int block, int block_rows, float* shared) {
  const Product& p = args.product[index];
  const RowJob& job = args.job[args.job_of[index]];
  const int unit = args.unit[index];
  const int place = block * block_rows / unit;
  const int first = place * unit;
  const int columns = min(unit, p.rows - first);
  const int arrivals =
      args.arrivals[index] > 0 ? args.arrivals[index] : (columns + block_rows - 1) / block_rows;
  if (!is_last_block(args.tickets + args.ticket[index] + place, arrivals)) return;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  float* row = shared + warp * args.row_floats;
  if (has_heads(job)) {
    const int heads = static_cast<int>(job.x.cols) / job.head_dim;
    const int own = columns / job.head_dim;
    for (int v = warp; v < args.m * own; v += kFewWarps)
      run_row_job<true>(job, args.eps, v / own * heads + first / job.head_dim + v % own, lane, row);
  } else {
    for (int v = warp; v < args.vectors[args.job_of[index]]; v += kFewWarps)
      run_row_job<true>(job, args.eps, v, lane, row);
  }
}

__device__ void run_product(const JointArgs& args, int block, uint4* units, FewScratch& scratch) {
  int index = 0;
  while (index + 1 < args.count && block >= args.product[index + 1].first_block) ++index;
  const Product& p = args.product[index];
  few_block(p, args.norm, block - p.first_block, args.m, units, scratch);
  if (args.job_of[index] < 0) return;
  run_after(args, index, block - p.first_block, kFewWarps / p.cut.count * kTileRows,
            reinterpret_cast<float*>(units));
}

// As rms_norm_kernel.
__device__ void store_normed(const JointArgs& args, int r, FewScratch& scratch) {
  const Product& p = args.product[0];
  const float* in = p.x + r * p.x_stride;
  const float factor = norm_factor(in, p.columns, args.norm.eps, scratch.sums);
  for (int i = static_cast<int>(threadIdx.x); i < p.columns; i += kFewThreads)
    args.normed.data[r * args.normed.stride + i] = rb(in[i] * factor * args.norm.weight[i]);
}

__device__ void run_beside(const JointArgs& args, int block, float* shared) {
  int index = 0;
  while (index + 1 < args.job_count && block >= args.first_block[index + 1]) ++index;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int vector = (block - args.first_block[index]) * kFewWarps + warp;
  if (vector >= args.vectors[index]) return;
  run_row_job<true>(args.job[index], args.eps, vector, static_cast<int>(threadIdx.x) % 32,
                    shared + warp * args.row_floats);
}

__global__ void __launch_bounds__(kFewThreads, 2) joint_kernel(const __grid_constant__ JointArgs args) {
  auto* const units = dynamic_shared<uint4>();
  __shared__ FewScratch scratch;
  const int block = static_cast<int>(blockIdx.x);
  if (block < args.norm_block) {
    run_product(args, block, units, scratch);
    return;
  }
  wait_for_previous();
  if (block < args.job_block) {
    store_normed(args, block - args.norm_block, scratch);
  } else if (block < args.entry_block) {
    run_beside(args, block - args.job_block, reinterpret_cast<float*>(units));
  } else {
    int index = 0;
    int64_t entry = block - args.entry_block;
    while (index + 1 < args.entry_count && entry >= args.entries[index].count)
      entry -= args.entries[index++].count;
    make_entry<true>(args.entries[index], entry, args.eps, reinterpret_cast<float*>(units));
  }
}

bool same_rows(const Matrix& a, const Matrix& b) {
  return a.data == b.data && a.rows == b.rows && a.cols == b.cols && a.stride == b.stride;
}

bool overlap(const Matrix& a, const Matrix& b) {
  if (a.rows == 0 || b.rows == 0 || a.data == nullptr || b.data == nullptr) return false;
  return a.data < b.row(b.rows - 1) + b.cols && b.data < a.row(a.rows - 1) + a.cols;
}

bool job_has_heads(const RowJob& job) {
  return job.kind == RowJob::Kind::kQuery || job.kind == RowJob::Kind::kIndexQuery;
}

// The task whose whole y that is, or -1.
int producer_of(const JointLaunch& launch, const Matrix& x) {
  for (int i = 0; i < launch.task_count; ++i) {
    const LinearTask& task = launch.tasks[i];
    if (same_rows(Matrix(task.y.data, task.y.rows, task.weight.rows, task.y.stride), x)) return i;
  }
  return -1;
}

// The tasks whose y a job reads.
struct Producers {
  int index[2] = {-1, -1};
  int count = 0;  // of matrices that the job reads
  bool all() const { return index[0] >= 0 && (count == 1 || index[1] >= 0); }
};

Producers producers_of(const JointLaunch& launch, const RowJob& job) {
  Producers producers;
  producers.index[producers.count++] = producer_of(launch, job.x);
  if (job.kind == RowJob::Kind::kStoreCompressorRows)
    producers.index[producers.count++] = producer_of(launch, job.g);
  return producers;
}

// Columns of a ticket: whole heads and whole blocks; 0: they do not fit.
int64_t unit_of(const RowJob& job, int64_t block_rows) {
  if (!job_has_heads(job)) return job.x.cols;
  const int64_t head = job.head_dim;
  if (head % block_rows == 0) return head;
  return block_rows % head == 0 ? block_rows : 0;
}

// Whether a matrix has nothing to do with what is open.
bool is_apart(const JointLaunch& launch, const Matrix& matrix) {
  if (overlap(matrix, launch.normed)) return false;
  for (int i = 0; i < launch.task_count; ++i)
    if (overlap(matrix, launch.tasks[i].x) || overlap(matrix, launch.tasks[i].y)) return false;
  return true;
}

}  // namespace

void linear_joint(Queue queue, const JointLaunch& launched, float eps, int32_t* tickets) {
  JointArgs args = {};
  args.count = launched.task_count;
  args.m = static_cast<int32_t>(launched.tasks[0].x.rows);
  args.norm = {launched.norm, eps};
  args.normed = launched.normed;
  args.eps = eps;
  args.tickets = tickets;
  size_t shared = 0;
  unsigned blocks = 0;
  int32_t product_blocks[kLinearTasks] = {};
  for (int i = 0; i < args.count; ++i) {
    Product& p = args.product[i] = describe(launched.tasks[i]);
    p.first_block = static_cast<int32_t>(blocks);
    product_blocks[i] = static_cast<int32_t>(ceil_div(p.rows, few_block_rows(p)));
    blocks += static_cast<unsigned>(product_blocks[i]);
    args.job_of[i] = -1;
    shared = std::max(shared, few_shared_bytes(launched.tasks[i]));
  }
  args.norm_block = static_cast<int32_t>(blocks);
  if (launched.norm != nullptr) blocks += static_cast<unsigned>(args.m);
  args.job_block = static_cast<int32_t>(blocks);
  args.job_count = launched.job_count;
  int32_t ticket = 0;
  int32_t beside = 0;
  for (int i = 0; i < launched.job_count; ++i) {
    const RowJob& job = args.job[i] = launched.jobs[i];
    args.vectors[i] = static_cast<int32_t>(vector_count(job));
    args.row_floats = std::max(args.row_floats, scratch_floats(job));
    args.first_block[i] = beside;
    const Producers producers = producers_of(launched, job);
    if (!producers.all()) {
      beside += static_cast<int32_t>(ceil_div(args.vectors[i], kFewWarps));
      continue;
    }
    int32_t arrivals = 0;
    for (int j = 0; j < producers.count; ++j) arrivals += product_blocks[producers.index[j]];
    for (int j = 0; j < producers.count; ++j) {
      const int index = producers.index[j];
      args.job_of[index] = static_cast<int8_t>(i);
      args.unit[index] = static_cast<int32_t>(unit_of(job, few_block_rows(args.product[index])));
      args.ticket[index] = ticket;
      args.arrivals[index] = job_has_heads(job) ? 0 : arrivals;
    }
    ticket +=
        job_has_heads(job) ? static_cast<int32_t>(ceil_div(job.x.cols, args.unit[producers.index[0]])) : 1;
  }
  blocks += static_cast<unsigned>(beside);
  args.entry_block = static_cast<int32_t>(blocks);
  args.entry_count = launched.entry_count;
  for (int i = 0; i < launched.entry_count; ++i) {
    args.entries[i] = launched.entries[i];
    blocks += static_cast<unsigned>(launched.entries[i].count);
    shared = std::max(shared, entry_bytes(launched.entries[i]));
  }
  shared = std::max(shared, static_cast<size_t>(kFewWarps * args.row_floats) * sizeof(float));
  launch(queue, joint_kernel, dim3(blocks), kFewThreads, shared, 1, args);
}

bool OpenLinears::add_norm(const Matrix& x, const float* weight, const Matrix& y) {
  if (!empty() || x.rows > kFewRows || x.cols % 128 != 0 || overlap(x, y)) return false;
  launch_.norm = weight;
  launch_.normed = y;
  norm_input_ = x;
  return true;
}

bool OpenLinears::add(std::span<const LinearTask> tasks) {
  if (launch_.task_count > 0 || tasks.size() > static_cast<size_t>(kLinearTasks)) return false;
  int64_t blocks = 0;
  for (const LinearTask& task : tasks) {
    if (launch_.norm != nullptr && (!same_rows(task.x, launch_.normed) || task.groups > 1)) return false;
    blocks += ceil_div(task.weight.rows, few_block_rows(describe(task)));
  }
  if (launch_.norm != nullptr && (blocks > kNormBlocksMax || norm_input_.stride % 4 != 0 ||
                                  reinterpret_cast<uintptr_t>(norm_input_.data) % 16 != 0))
    return false;
  for (const LinearTask& task : tasks) {
    LinearTask& added = launch_.tasks[launch_.task_count++] = task;
    if (launch_.norm != nullptr) added.x = norm_input_;
  }
  return true;
}

bool OpenLinears::takes_scope(uint64_t scope) {
  if (launch_.task_count == 0) return false;
  if (launch_.job_count + launch_.entry_count > 0 && scope != scope_) return false;
  scope_ = scope;
  return true;
}

bool OpenLinears::add(const RowJob& job, uint64_t scope) {
  if (launch_.job_count == kRowJobs || !takes_scope(scope)) return false;
  const Producers producers = producers_of(launch_, job);
  if (producers.all()) {
    if (job_has_heads(job) && job.x.cols / job.head_dim > kTickets / kRowJobs) return false;
    for (int j = 0; j < producers.count; ++j) {
      const LinearTask& task = launch_.tasks[producers.index[j]];
      if (unit_of(job, few_block_rows(describe(task))) == 0) return false;
      for (int i = 0; i < launch_.job_count; ++i) {
        const Producers others = producers_of(launch_, launch_.jobs[i]);
        for (const int other : others.index)
          if (other == producers.index[j]) return false;  // a product has one job
      }
    }
  } else if (!is_apart(launch_, job.x) || (job.g.data != nullptr && !is_apart(launch_, job.g))) {
    return false;
  }
  launch_.jobs[launch_.job_count++] = job;
  return true;
}

bool OpenLinears::add(const CompressJob& job, uint64_t scope) {
  if (launch_.entry_count == kCompressJobs || !takes_scope(scope)) return false;
  launch_.entries[launch_.entry_count++] = job;
  return true;
}

void OpenLinears::launch(Queue queue, float eps, int32_t* tickets) {
  if (empty()) return;
  const JointLaunch launched = std::exchange(launch_, {});
  if (launched.task_count == 0) {
    rms_norm(queue, true, norm_input_, launched.norm, eps, launched.normed);
  } else if (launched.norm == nullptr && launched.job_count + launched.entry_count == 0) {
    linear_few(queue, launched.tasks, launched.task_count);
  } else {
    linear_joint(queue, launched, eps, tickets);
  }
}

}  // namespace ft::cuda
