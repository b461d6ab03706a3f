#include "core/cuda/prompt_linears.h"

#include <algorithm>

#include "core/check.h"

namespace ft::cuda {

namespace {

using Way = PromptLinears::Way;

constexpr size_t kWidenedBytes = size_t{64}
                                 << 20;  // of a weight at a time: what the L2 of a device about holds
constexpr int64_t kBlock = 128;          // of scales

size_t aligned(size_t bytes) {
  return (bytes + 255) / 256 * 256;
}

// What a product sees more than there is: a library's tiles want whole rows of 16 bytes.
int64_t padded(int64_t rows) {
  return (rows + 7) / 8 * 8;
}

// Rows of the weight that are widened at a time: whole groups, or whole blocks of scales.
int64_t slice_rows(const LinearTask& task) {
  const Weight& weight = task.weight;
  if (weight.format == WeightFormat::kBF16) return weight.rows;
  const int64_t unit = task.groups > 1 ? weight.rows / task.groups : kBlock;
  const int64_t fit = static_cast<int64_t>(kWidenedBytes / 2) / weight.cols / unit * unit;
  return std::min(weight.rows, std::max(unit, fit));
}

// Where the parts of the scratch begin. The input comes first, so that tasks which share it find it.
struct Layout {
  size_t x_scales = 0;
  size_t weight = 0;
  size_t y = 0;
  size_t workspace = 0;
  size_t bytes = 0;
};

Layout layout_of(const LinearTask& task, Way way) {
  const bool scaled = way == Way::kBlockScaled;
  const auto rows = static_cast<size_t>(padded(task.x.rows));
  const auto inputs = static_cast<size_t>(task.x.cols);
  const auto weight_rows = static_cast<size_t>(task.weight.rows);
  Layout layout;
  layout.x_scales = aligned(rows * inputs * (scaled ? 1 : 2));
  layout.weight = layout.x_scales + (scaled ? aligned(rows * inputs / kBlock * sizeof(float)) : 0);
  size_t weight = 0;
  if (scaled) {
    weight = static_cast<size_t>(ceil_div(task.weight.rows, kBlock)) *
             static_cast<size_t>(scale_stride(task.weight.cols)) * sizeof(float);
  } else if (task.weight.format != WeightFormat::kBF16) {
    weight = static_cast<size_t>(slice_rows(task) * task.weight.cols) * 2;
  }
  layout.y = layout.weight + aligned(weight);
  layout.workspace = layout.y + aligned(rows * weight_rows * sizeof(float));
  layout.bytes = layout.workspace + kGemmWorkspaceBytes;
  return layout;
}

// The product of `count` rows of the weight from `first`.
GemmShape shape_of(const LinearTask& task, Way way, int64_t count) {
  const int64_t group_rows = task.weight.rows / task.groups;
  GemmShape shape;
  shape.block_scaled = way == Way::kBlockScaled;
  shape.rows = padded(task.x.rows);
  shape.inputs = task.weight.cols;
  shape.groups = task.groups > 1 ? count / group_rows : 1;
  shape.outputs = count / shape.groups;
  shape.x_stride = task.x.cols;
  shape.y_stride = task.weight.rows;
  return shape;
}

}  // namespace

Way PromptLinears::way_of(const LinearTask& task) {
  const Weight& weight = task.weight;
  const bool fp8 = weight.format == WeightFormat::kFp8Block;
  if (!fp8 && weight.format != WeightFormat::kBF16) return Way::kNone;
  const int64_t group_rows = weight.rows / task.groups;
  const bool addresses = reinterpret_cast<uintptr_t>(task.x.data) % 16 == 0 && task.x.stride % 4 == 0 &&
                         reinterpret_cast<uintptr_t>(weight.data) % 16 == 0;
  if (!addresses || weight.cols % kBlock != 0 || group_rows % 8 != 0) return Way::kNone;
  if (fp8 && task.quantize && task.groups == 1 &&
      library_->takes(shape_of(task, Way::kBlockScaled, weight.rows)))
    return Way::kBlockScaled;
  const int64_t slice = slice_rows(task);
  const int64_t rest = weight.rows % slice;
  const bool all = library_->takes(shape_of(task, Way::kWidened, slice)) &&
                   (rest == 0 || library_->takes(shape_of(task, Way::kWidened, rest)));
  return all ? Way::kWidened : Way::kNone;
}

size_t PromptLinears::scratch_bytes(const LinearTask& task, Way way) {
  return layout_of(task, way).bytes;
}

size_t PromptLinears::most_bytes(int64_t rows, int64_t inputs, int64_t outputs) {
  const auto most = static_cast<size_t>(padded(rows));
  const auto out = static_cast<size_t>(outputs);
  const auto scales = static_cast<size_t>(ceil_div(outputs, kBlock) * scale_stride(inputs)) * sizeof(float);
  // A row of the widest weight may be more than what is widened at a time.
  const size_t weight = std::max({kWidenedBytes, static_cast<size_t>(kBlock * inputs) * 2, scales});
  return aligned(most * static_cast<size_t>(inputs) * 2) + aligned(weight) +
         aligned(most * out * sizeof(float)) + kGemmWorkspaceBytes;
}

void PromptLinears::run(Queue queue, const LinearTask& task, Way way, bool input_is_there, void* memory) {
  FT_CHECK(way != Way::kNone);
  const Layout layout = layout_of(task, way);
  auto* at = static_cast<uint8_t*>(memory);
  const int64_t rows = padded(task.x.rows);
  auto* x_scales = reinterpret_cast<float*>(at + layout.x_scales);
  auto* y = reinterpret_cast<float*>(at + layout.y);
  void* workspace = at + layout.workspace;
  if (way == Way::kBlockScaled) {
    auto* weight_scales = reinterpret_cast<float*>(at + layout.weight);
    if (!input_is_there) quantize_operand(queue, task.x, rows, at, x_scales);
    widen_scales(queue, task.weight, scale_stride(task.weight.cols), weight_scales);
    library_->multiply(queue, shape_of(task, way, task.weight.rows),
                       {task.weight.data, weight_scales, at, x_scales, y}, workspace);
  } else {
    if (!input_is_there) round_operand(queue, task.x, rows, task.quantize, at);
    const int64_t slice = slice_rows(task);
    const int64_t group_rows = task.weight.rows / task.groups;
    for (int64_t first = 0; first < task.weight.rows; first += slice) {
      const int64_t count = std::min(slice, task.weight.rows - first);
      const void* weight = task.weight.data;
      if (task.weight.format != WeightFormat::kBF16) {
        widen_weight(queue, task.weight, first, count, at + layout.weight);
        weight = at + layout.weight;
      }
      // Groups read their own columns of the input.
      const int64_t column = task.groups > 1 ? first / group_rows * task.weight.cols : 0;
      library_->multiply(queue, shape_of(task, way, count),
                         {weight, nullptr, at + column * 2, nullptr, y + first}, workspace);
    }
  }
  store_product(queue, y, task.weight.rows, task.round, task.y);
}

}  // namespace ft::cuda
