#include "core/weight_loader.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>

#include "core/check.h"

namespace ft {
namespace {

constexpr int64_t kProgressSteps = 256;
constexpr size_t kCopyAlignment = 64;  // a cache line: copies are read with vector loads
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

}  // namespace

std::vector<WeightPart> WeightLoader::parts() const {
  std::vector<WeightPart> parts;
  for (const auto& [name, part] : parts_) parts.push_back(part);
  return parts;
}

void WeightLoader::linear(const std::string& name, Weight& weight, int64_t rows, int64_t cols,
                          WeightFormat format) {
  Weight loaded;
  loaded.format = format;
  loaded.rows = rows;
  loaded.cols = cols;
  const StoredTensor* data = nullptr;
  const StoredTensor* scale = nullptr;
  switch (format) {
    case WeightFormat::kF32:
      data = stored(name + ".weight", {rows, cols}, {DType::kF32});
      break;
    case WeightFormat::kBF16:
      data = stored(name + ".weight", {rows, cols}, {DType::kBF16});
      break;
    case WeightFormat::kFp8Block:
      data = stored(name + ".weight", {rows, cols}, {DType::kE4M3});
      scale = stored(name + ".scale", {(rows + 127) / 128, (cols + 127) / 128}, {DType::kE8M0, DType::kF32});
      break;
    case WeightFormat::kFp4Row:
      data = stored(name + ".weight", {rows, cols / 2}, {DType::kI8});
      scale = stored(name + ".scale", {rows, cols / 32}, {DType::kE8M0, DType::kF32});
      break;
  }
  if (error_ || checking_) return;
  loaded.data = placed(*data);
  if (scale != nullptr) loaded.scale = placed_scale(*scale);
  count(name, {data, scale});
  weight = loaded;
}

void WeightLoader::matrix(const std::string& name, Weight& weight, int64_t rows, int64_t cols) {
  const StoredTensor* data = stored(name, {rows, cols}, {DType::kF32});
  if (error_ || checking_) return;
  weight = Weight{WeightFormat::kF32, placed(*data), nullptr, rows, cols};
  count(name, {data});
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
  vector.data = static_cast<const float*>(place(*tensor, values, size * sizeof(float)));
  count(name, {tensor});
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
  table = static_cast<const int32_t*>(place(*tensor, values, size * sizeof(int32_t)));
  host = values;
  count(name, {tensor});
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

const uint8_t* WeightLoader::placed_scale(const StoredTensor& scale) {
  if (scale.dtype == DType::kE8M0) return static_cast<const uint8_t*>(placed(scale));
  const auto size = static_cast<size_t>(scale.size());
  auto* bytes = static_cast<uint8_t*>(new_copy(size));
  for (size_t i = 0; i < size; ++i) {
    const auto value = element<float>(scale, i);
    const std::optional<uint8_t> byte = e8m0_of(value);
    if (!byte) {
      const auto cols = static_cast<size_t>(scale.shape.back());
      reject(ErrorCode::kInvalidFile, scale,
             fmt::format(
                 "has {} at [{}, {}], which is not a power of two; F32 scales are accepted where every one "
                 "is",
                 value, i / cols, i % cols));
      return nullptr;
    }
    bytes[i] = *byte;
  }
  return static_cast<const uint8_t*>(place(scale, bytes, size));
}

const void* WeightLoader::placed(const StoredTensor& tensor) {
  const void* host = tensor.data;
  if (reinterpret_cast<uintptr_t>(host) % static_cast<uintptr_t>(byte_size(tensor.dtype)) != 0) {
    void* copy = new_copy(static_cast<size_t>(tensor.bytes));
    std::memcpy(copy, host, static_cast<size_t>(tensor.bytes));
    host = copy;
  }
  const void* address = place(tensor, host, static_cast<size_t>(tensor.bytes));
  reads_files_ = reads_files_ || address == tensor.data;
  return address;
}

const void* WeightLoader::place(const StoredTensor& tensor, const void* host, size_t bytes) {
  const void* address = placer_.place(host, bytes);
  if (address == nullptr) {
    reject(ErrorCode::kTooLarge, tensor,
           fmt::format("does not fit the memory of the device: {} of {} bytes were placed before it",
                       done_bytes_, total_bytes_));
  }
  done_bytes_ += tensor.bytes;
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

void WeightLoader::count(const std::string& name, std::initializer_list<const StoredTensor*> tensors) {
  WeightPart& part = parts_[part_of(name)];
  if (part.name.empty()) part.name = part_of(name);
  std::string format;
  for (const StoredTensor* tensor : tensors) {
    if (tensor == nullptr) continue;
    ++part.tensors;
    part.bytes += tensor->bytes;
    format += (format.empty() ? "" : " + ") + std::string(safetensors_name(tensor->dtype));
  }
  if (std::find(part.formats.begin(), part.formats.end(), format) == part.formats.end()) {
    part.formats.push_back(format);
  }
}

}  // namespace ft
