#include "core/weight_loader.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <new>
#include <thread>

#include "core/check.h"

namespace ft {
namespace {

constexpr int64_t kProgressSteps = 256;
constexpr size_t kCopyAlignment = 64;                // a cache line: copies are read with vector loads
constexpr int64_t kPutOffBytes = int64_t{64} << 20;  // columns that are copied at a time
constexpr size_t kCopyThreads = 16;
constexpr std::string_view kHuggingFacePrefix = "model.";

template <class Element>
Element element(const StoredTensor& tensor, size_t index) {
  Element value;  // the mapping has no alignment to rely on
  std::memcpy(&value, tensor.data + index * sizeof(Element), sizeof(Element));
  return value;
}

// The byte of ue8m0 that is `value` exactly, or nothing.
std::optional<uint8_t> e8m0_of(float value) {
  constexpr uint32_t kSmallest = 0x00400000;  // 2^-127, byte 0: the only one that float32 holds subnormally
  const auto bits = std::bit_cast<uint32_t>(value);
  if (bits == kSmallest) return 0;
  const uint32_t exponent = bits >> 23;  // with the sign above it
  if ((bits & 0x7fffff) != 0 || exponent == 0 || exponent > 254) return std::nullopt;
  return static_cast<uint8_t>(exponent);
}

std::string part_of(std::string_view name) {
  const std::string_view prefix = name.starts_with("mtp.") ? "draft: " : "";
  const auto has = [&](std::string_view piece) { return name.find(piece) != std::string_view::npos; };
  std::string_view part = "hyper-connections, norms, router";
  if (has(".experts.")) {
    part = "routed experts";
  } else if (has(".shared_experts.")) {
    part = "shared experts";
  } else if (has(".attn.")) {
    part = "attention";
  } else if (name == "embed" || name == "head") {
    part = "embedding and head";
  } else if (has("_proj") || has("markov_head.") || has("confidence_head.")) {
    part = "projections and heads";
  }
  return fmt::format("{}{}", prefix, part);
}

TensorPart whole_of(const StoredTensor& tensor) {
  const int64_t cols = tensor.shape.empty() ? 1 : tensor.shape.back();
  return {&tensor, {0, cols > 0 ? tensor.size() / cols : 0}, {0, cols}};
}

}  // namespace

std::span<const std::byte> TensorPart::extent() const {
  if (bytes() == 0) return {};
  const std::byte* begin = row(0);
  return {begin, static_cast<size_t>(row(rows.size() - 1) + row_bytes() - begin)};
}

std::vector<WeightPart> WeightLoader::parts() const {
  std::vector<WeightPart> parts;
  for (const auto& [name, part] : parts_) parts.push_back(part);
  return parts;
}

WeightLoader::LinearTensors WeightLoader::stored_linear(const std::string& name, const Weight& weight) {
  const int64_t rows = weight.all_rows(), cols = weight.all_cols();
  switch (weight.format) {
    case WeightFormat::kF32:
      return {stored(name + ".weight", {rows, cols}, {DType::kF32}), nullptr};
    case WeightFormat::kBF16:
      return {stored(name + ".weight", {rows, cols}, {DType::kBF16}), nullptr};
    case WeightFormat::kFp8Block: {
      const StoredTensor* data = stored(name + ".weight", {rows, cols}, {DType::kE4M3});
      return {data,
              stored(name + ".scale", {(rows + 127) / 128, (cols + 127) / 128}, {DType::kE8M0, DType::kF32})};
    }
    case WeightFormat::kFp4Row: {
      const StoredTensor* data = stored(name + ".weight", {rows, cols / 2}, {DType::kI8});
      return {data, stored(name + ".scale", {rows, cols / 32}, {DType::kE8M0, DType::kF32})};
    }
  }
  return {};
}

void WeightLoader::linear(const std::string& name, Weight& weight, int64_t rows, int64_t cols,
                          WeightFormat format) {
  Weight whole;
  whole.format = format;
  whole.rows = rows;
  whole.cols = cols;
  const LinearTensors tensors = stored_linear(name, whole);
  if (error_ || checking_) return;
  const TensorPart data = whole_of(*tensors.data);
  whole.data = placed(data);
  if (tensors.scale == nullptr) {
    count(name, {&data});
  } else {
    const TensorPart scale = whole_of(*tensors.scale);
    whole.scale = placed_scale(scale);
    count(name, {&data, &scale});
  }
  weight = whole;
}

void WeightLoader::sharded_linear(const std::string& name, Weight& weight, int64_t rows, int64_t cols,
                                  WeightFormat format, ShardSide side, int64_t unit) {
  const int64_t before = done_bytes_ + put_off_bytes_;
  if (ranks_.size == 1) {
    linear(name, weight, rows, cols, format);
    share_.sharded += done_bytes_ + put_off_bytes_ - before;
    return;
  }
  Weight own = own_shape(rows, cols, format, side, unit, ranks_);
  const LinearTensors tensors = stored_linear(name, own);
  if (error_ || checking_) return;
  weight = own;
  if (own.rows == 0 || own.cols == 0) return;
  // Elements of the stored tensors that a row or column of the weight takes.
  const bool fp8 = format == WeightFormat::kFp8Block, fp4 = format == WeightFormat::kFp4Row;
  const auto part_of = [&](const StoredTensor& tensor, int64_t tall, int64_t wide) {
    const auto cut = [](int64_t first, int64_t count, int64_t by) {
      return ShardRange{first / by, (first + count + by - 1) / by};
    };
    return TensorPart{&tensor, cut(own.first_row, own.rows, tall), cut(own.first_col, own.cols, wide)};
  };
  const TensorPart data = part_of(*tensors.data, 1, fp4 ? 2 : 1);
  if (data.contiguous()) {
    weight.data = placed(data);
  } else {
    place_columns(data, [&weight](const void* address) { weight.data = address; });
    share_.copied += data.bytes();
  }
  if (tensors.scale == nullptr) {
    count(name, {&data});
  } else {
    const TensorPart scale = part_of(*tensors.scale, fp8 ? 128 : 1, fp8 ? 128 : 32);
    if (scale.contiguous() || scale.tensor->dtype != DType::kE8M0) {
      weight.scale = placed_scale(scale);
    } else {
      place_columns(scale,
                    [&weight](const void* address) { weight.scale = static_cast<const uint8_t*>(address); });
    }
    if (!data.contiguous()) share_.copied += scale.bytes();
    count(name, {&data, &scale});
  }
  share_.sharded += done_bytes_ + put_off_bytes_ - before;
}

void WeightLoader::place_columns(const TensorPart& part, std::function<void(const void*)> address) {
  auto* copy = static_cast<std::byte*>(new_copy(static_cast<size_t>(part.bytes())));
  put_off_.push_back({part, copy, std::move(address)});
  put_off_bytes_ += part.bytes();
  if (put_off_bytes_ >= kPutOffBytes) place_put_off();
}

void WeightLoader::place_put_off() {
  std::atomic<size_t> next{0};
  const auto copy_some = [&] {
    for (size_t i = next++; i < put_off_.size(); i = next++) {
      const Columns& columns = put_off_[i];
      const auto row_bytes = static_cast<size_t>(columns.part.row_bytes());
      for (int64_t r = 0; r < columns.part.rows.size(); ++r)
        std::memcpy(columns.copy + static_cast<size_t>(r) * row_bytes, columns.part.row(r), row_bytes);
      columns.part.tensor->file->mapping()->release(columns.part.extent());
    }
  };
  {
    std::vector<std::jthread> helpers;
    const size_t threads = std::clamp<size_t>(std::thread::hardware_concurrency(), 1, kCopyThreads);
    for (size_t i = 1; i < std::min(threads, put_off_.size()); ++i) helpers.emplace_back(copy_some);
    copy_some();
  }
  for (const Columns& columns : put_off_) {
    const void* address = place(*columns.part.tensor, columns.part.bytes(), columns.copy,
                                static_cast<size_t>(columns.part.bytes()));
    columns.address(address);
    if (address == columns.copy) continue;
    // On a device: the copy there is the one that stays.
    std::erase_if(copies_, [&](const AlignedBytes& copy) { return copy.get() == columns.copy; });
  }
  put_off_.clear();
  put_off_bytes_ = 0;
}

void WeightLoader::finish() {
  if (!put_off_.empty()) place_put_off();
}

void WeightLoader::matrix(const std::string& name, Weight& weight, int64_t rows, int64_t cols) {
  const StoredTensor* data = stored(name, {rows, cols}, {DType::kF32});
  if (error_ || checking_) return;
  const TensorPart whole = whole_of(*data);
  weight = Weight{WeightFormat::kF32, placed(whole), nullptr, rows, cols};
  count(name, {&whole});
}

void WeightLoader::vector(const std::string& name, Vector& vector, std::vector<int64_t> shape,
                          DType stored_type) {
  const StoredTensor* tensor = stored(name, shape, {stored_type});
  if (error_ || checking_) return;
  const auto size = static_cast<size_t>(tensor->size());
  auto* values = static_cast<float*>(new_copy(size * sizeof(float)));
  if (stored_type == DType::kF32) {
    std::memcpy(values, tensor->data, size * sizeof(float));
  } else {
    FT_CHECK(stored_type == DType::kBF16, name);
    for (size_t i = 0; i < size; ++i) values[i] = bf16_to_f32(element<uint16_t>(*tensor, i));
  }
  vector.size = tensor->size();
  vector.data = static_cast<const float*>(place(*tensor, tensor->bytes, values, size * sizeof(float)));
  const TensorPart whole = whole_of(*tensor);
  count(name, {&whole});
}

void WeightLoader::table(const std::string& name, const int32_t*& table, const int32_t*& host, int64_t rows,
                         int64_t cols, int64_t limit) {
  const StoredTensor* tensor = stored(name, {rows, cols}, {DType::kI64});
  if (error_ || checking_) return;
  const auto size = static_cast<size_t>(tensor->size());
  auto* values = static_cast<int32_t*>(new_copy(size * sizeof(int32_t)));
  for (size_t i = 0; i < size; ++i) {
    const auto value = element<int64_t>(*tensor, i);
    if (value < 0 || value >= limit) {
      reject(ErrorCode::kInvalidFile, *tensor,
             fmt::format("has {} at [{}, {}], expected 0 to {}", value, i / static_cast<size_t>(cols),
                         i % static_cast<size_t>(cols), limit - 1));
      return;
    }
    values[i] = static_cast<int32_t>(value);
  }
  table = static_cast<const int32_t*>(place(*tensor, tensor->bytes, values, size * sizeof(int32_t)));
  host = values;
  const TensorPart whole = whole_of(*tensor);
  count(name, {&whole});
}

void WeightLoader::reject(ErrorCode code, const StoredTensor& tensor, const std::string& problem) {
  if (error_) return;
  error_ = Error{code, fmt::format("{}: tensor {} {}", tensor.file->path(), tensor.name, problem)};
}

const StoredTensor* WeightLoader::stored(const std::string& name, const std::vector<int64_t>& shape,
                                         std::initializer_list<DType> dtypes) {
  if (error_) return nullptr;
  std::string expected;
  for (const DType dtype : dtypes) {
    expected += (expected.empty() ? "" : " or ") + std::string(safetensors_name(dtype));
  }
  const StoredTensor* tensor = index_.find(name);
  if (tensor == nullptr) tensor = index_.find(std::string(kHuggingFacePrefix) + name);
  if (tensor == nullptr) {
    error_ = Error{ErrorCode::kInvalidFile, fmt::format("{}: tensor {} is missing (config.json wants {} {})",
                                                        index_.path(), name, expected, shape_text(shape))};
    return nullptr;
  }
  if (std::find(dtypes.begin(), dtypes.end(), tensor->dtype) == dtypes.end()) {
    reject(ErrorCode::kInvalidFile, *tensor,
           fmt::format("has dtype {}, expected {}", safetensors_name(tensor->dtype), expected));
    return nullptr;
  }
  if (tensor->shape != shape) {
    reject(ErrorCode::kInvalidFile, *tensor,
           fmt::format("has shape {}, config.json says {}", shape_text(tensor->shape), shape_text(shape)));
    return nullptr;
  }
  used_.insert(tensor);
  return tensor;
}

const uint8_t* WeightLoader::placed_scale(const TensorPart& scale) {
  if (scale.tensor->dtype == DType::kE8M0) return static_cast<const uint8_t*>(placed(scale));
  const auto size = static_cast<size_t>(scale.bytes() / scale.element_bytes());
  auto* bytes = static_cast<uint8_t*>(new_copy(size));
  const int64_t cols = scale.stored_cols();
  uint8_t* out = bytes;
  for (int64_t r = scale.rows.begin; r < scale.rows.end; ++r) {
    for (int64_t c = scale.cols.begin; c < scale.cols.end; ++c) {
      const auto value = element<float>(*scale.tensor, static_cast<size_t>(r * cols + c));
      const std::optional<uint8_t> byte = e8m0_of(value);
      if (!byte) {
        reject(ErrorCode::kInvalidFile, *scale.tensor,
               fmt::format(
                   "has {} at [{}, {}], which is not a power of two; F32 scales are accepted where every "
                   "one is",
                   value, r, c));
        return nullptr;
      }
      *out++ = *byte;
    }
  }
  return static_cast<const uint8_t*>(place(*scale.tensor, scale.bytes(), bytes, size));
}

const void* WeightLoader::placed(const TensorPart& part) {
  const auto bytes = static_cast<size_t>(part.bytes());
  const void* host = part.row(0);
  if (reading_ahead_) part.tensor->file->mapping()->prefetch(part.extent());
  if (reinterpret_cast<uintptr_t>(host) % static_cast<uintptr_t>(part.element_bytes()) != 0) {
    void* copy = new_copy(bytes);
    std::memcpy(copy, host, bytes);
    host = copy;
  }
  const void* address = place(*part.tensor, part.bytes(), host, bytes);
  reads_files_ = reads_files_ || address == part.row(0);
  return address;
}

const void* WeightLoader::place(const StoredTensor& tensor, int64_t stored_bytes, const void* host,
                                size_t bytes) {
  const void* address = placer_.place(host, bytes);
  if (address == nullptr) {
    reject(ErrorCode::kTooLarge, tensor,
           fmt::format("does not fit the memory of the device: {} of {} bytes were placed before it",
                       done_bytes_, total_bytes_));
  }
  done_bytes_ += stored_bytes;
  if (progress_ && done_bytes_ - reported_bytes_ >= std::max<int64_t>(total_bytes_ / kProgressSteps, 1) &&
      done_bytes_ < total_bytes_) {
    reported_bytes_ = done_bytes_;
    progress_(done_bytes_, total_bytes_);
  }
  return address;
}

void* WeightLoader::new_copy(size_t bytes) {
  const size_t rounded = (std::max<size_t>(bytes, 1) + kCopyAlignment - 1) / kCopyAlignment * kCopyAlignment;
  void* memory = std::aligned_alloc(kCopyAlignment, rounded);
  if (memory == nullptr) throw std::bad_alloc();
  return copies_.emplace_back(memory).get();
}

void WeightLoader::count(const std::string& name, std::initializer_list<const TensorPart*> tensors) {
  WeightPart& part = parts_[part_of(name)];
  if (part.name.empty()) part.name = part_of(name);
  std::string format;
  for (const TensorPart* tensor : tensors) {
    ++part.tensors;
    part.bytes += tensor->bytes();
    format += (format.empty() ? "" : " + ") + std::string(safetensors_name(tensor->tensor->dtype));
  }
  if (std::find(part.formats.begin(), part.formats.end(), format) == part.formats.end()) {
    part.formats.push_back(format);
  }
}

}  // namespace ft
