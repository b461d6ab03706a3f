// Loading: the tree of visit_weights filled from mapped files.
#include "core/weights.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <unordered_set>

#include "core/check.h"
#include "core/file.h"
#include "core/safetensors.h"

namespace ft {
namespace {

constexpr int64_t kMaxConfigBytes = 16 << 20;
constexpr int64_t kProgressSteps = 256;
constexpr size_t kCopyAlignment = 64;  // a cache line: copies are read with vector loads
constexpr std::string_view kHuggingFacePrefix = "model.";

struct FreeBytes {
  void operator()(void* bytes) const { std::free(bytes); }
};
using AlignedBytes = std::unique_ptr<void, FreeBytes>;

AlignedBytes aligned_bytes(size_t bytes) {
  const size_t rounded = (std::max<size_t>(bytes, 1) + kCopyAlignment - 1) / kCopyAlignment * kCopyAlignment;
  void* memory = std::aligned_alloc(kCopyAlignment, rounded);
  FT_CHECK(memory != nullptr, rounded);
  return AlignedBytes(memory);
}

std::string_view without_prefix(std::string_view name) {
  return name.starts_with(kHuggingFacePrefix) ? name.substr(kHuggingFacePrefix.size()) : name;
}

// Whether a tensor that the tree does not name can be left unread.
// convert.py drops the embedding and head that some MTP blocks repeat (docs/spec/model.md 2.3);
// rotary tables are computed. Everything else in a block would change the model.
bool is_harmless(std::string_view name) {
  if (name.starts_with("mtp.")) {
    const size_t dot = name.find('.', 4);
    const std::string_view rest = dot == std::string_view::npos ? std::string_view() : name.substr(dot + 1);
    if (rest.starts_with("emb") || rest == "head.weight") return true;
  } else if (!name.starts_with("layers.")) {
    return true;
  }
  return name.ends_with(".inv_freq");
}

// Fills the tree. After the first error every further tensor is skipped.
class Loader final : public WeightVisitor {
 public:
  Loader(const SafetensorsIndex& index, WeightPlacer& placer, std::vector<AlignedBytes>& copies,
         const std::function<void(int64_t, int64_t)>& progress, int64_t total_bytes)
      : index_(index), placer_(placer), copies_(copies), progress_(progress), total_bytes_(total_bytes) {}

  const std::optional<Error>& error() const { return error_; }
  int64_t done_bytes() const { return done_bytes_; }
  // Whether a weight is read from its file for as long as it is used, because the placer made no copy.
  bool reads_files() const { return reads_files_; }
  // Tensors of the files that the tree has used.
  const std::unordered_set<const StoredTensor*>& used() const { return used_; }

  void linear(const std::string& name, Weight& weight, int64_t rows, int64_t cols,
              WeightFormat format) override {
    Weight loaded;
    loaded.format = format;
    loaded.rows = rows;
    loaded.cols = cols;
    const StoredTensor* data = nullptr;
    const StoredTensor* scale = nullptr;
    switch (format) {
      case WeightFormat::kF32:
        data = stored(name + ".weight", {rows, cols}, DType::kF32);
        break;
      case WeightFormat::kBF16:
        data = stored(name + ".weight", {rows, cols}, DType::kBF16);
        break;
      case WeightFormat::kFp8Block:
        data = stored(name + ".weight", {rows, cols}, DType::kE4M3);
        scale = stored(name + ".scale", {(rows + 127) / 128, (cols + 127) / 128}, DType::kE8M0);
        break;
      case WeightFormat::kFp4Row:
        data = stored(name + ".weight", {rows, cols / 2}, DType::kI8);
        scale = stored(name + ".scale", {rows, cols / 32}, DType::kE8M0);
        break;
    }
    if (error_) return;
    loaded.data = placed(*data);
    if (scale != nullptr) loaded.scale = static_cast<const uint8_t*>(placed(*scale));
    weight = loaded;
  }

  void matrix(const std::string& name, Weight& weight, int64_t rows, int64_t cols) override {
    const StoredTensor* data = stored(name, {rows, cols}, DType::kF32);
    if (error_) return;
    weight = Weight{WeightFormat::kF32, placed(*data), nullptr, rows, cols};
  }

  void vector(const std::string& name, Vector& vector, std::vector<int64_t> shape,
              DType stored_type) override {
    const StoredTensor* tensor = stored(name, shape, stored_type);
    if (error_) return;
    const size_t size = static_cast<size_t>(tensor->size());
    auto* values = static_cast<float*>(new_copy(size * sizeof(float)));
    if (stored_type == DType::kF32) {
      std::memcpy(values, tensor->data, size * sizeof(float));
    } else {
      FT_CHECK(stored_type == DType::kBF16, name);
      for (size_t i = 0; i < size; ++i) values[i] = bf16_to_f32(element<uint16_t>(*tensor, i));
    }
    vector.size = tensor->size();
    vector.data = static_cast<const float*>(place(*tensor, values, size * sizeof(float)));
  }

  void table(const std::string& name, const int32_t*& table, const int32_t*& host, int64_t rows, int64_t cols,
             int64_t limit) override {
    const StoredTensor* tensor = stored(name, {rows, cols}, DType::kI64);
    if (error_) return;
    const size_t size = static_cast<size_t>(tensor->size());
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
  }

 private:
  template <class Element>
  static Element element(const StoredTensor& tensor, size_t index) {
    Element value;  // the mapping has no alignment to rely on
    std::memcpy(&value, tensor.data + index * sizeof(Element), sizeof(Element));
    return value;
  }

  void reject(ErrorCode code, const StoredTensor& tensor, const std::string& problem) {
    if (!error_)
      error_ = Error{code, fmt::format("{}: tensor {} {}", tensor.file->path(), tensor.name, problem)};
  }

  // The tensor of that name, shape and dtype; null after an error, or when it makes one.
  const StoredTensor* stored(const std::string& name, const std::vector<int64_t>& shape, DType dtype) {
    if (error_) return nullptr;
    const StoredTensor* tensor = index_.find(name);
    if (tensor == nullptr) tensor = index_.find(std::string(kHuggingFacePrefix) + name);
    if (tensor == nullptr) {
      error_ = Error{ErrorCode::kInvalidFile,
                     fmt::format("{}: tensor {} is missing (config.json wants {} {})", index_.path(), name,
                                 safetensors_name(dtype), shape_text(shape))};
      return nullptr;
    }
    if (tensor->dtype != dtype) {
      reject(
          ErrorCode::kInvalidFile, *tensor,
          fmt::format("has dtype {}, expected {}", safetensors_name(tensor->dtype), safetensors_name(dtype)));
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

  void* new_copy(size_t bytes) { return copies_.emplace_back(aligned_bytes(bytes)).get(); }

  // Where the backend reads the tensor as stored: from the mapping, or from a copy if it lies there
  // unaligned.
  const void* placed(const StoredTensor& tensor) {
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

  const void* place(const StoredTensor& tensor, const void* host, size_t bytes) {
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

  const SafetensorsIndex& index_;
  WeightPlacer& placer_;
  std::vector<AlignedBytes>& copies_;
  const std::function<void(int64_t, int64_t)>& progress_;
  int64_t total_bytes_ = 0;
  int64_t done_bytes_ = 0;
  int64_t reported_bytes_ = 0;
  bool reads_files_ = false;
  std::unordered_set<const StoredTensor*> used_;
  std::optional<Error> error_;
};

// A tensor of a block that the tree has no place for: the config describes another model than the files hold.
Result<void> check_leftovers(const SafetensorsIndex& index, const ModelConfig& config,
                             const std::unordered_set<const StoredTensor*>& used) {
  for (const auto& [name, tensor] : index.tensors()) {
    if (used.contains(tensor) || is_harmless(without_prefix(name))) continue;
    return fail(
        ErrorCode::kInvalidFile,
        "{}: tensor {} has no place in the model of config.json (num_hidden_layers {}, num_hash_layers {}, "
        "n_routed_experts {}, MTP blocks {}, DSpark stages {})",
        tensor->file->path(), name, config.num_hidden_layers, config.num_hash_layers, config.n_routed_experts,
        config.num_nextn_predict_layers, config.dspark.stage_count);
  }
  return {};
}

// Reading ahead pays while the weights fit in memory beside everything else; beyond that it evicts what was
// just read.
bool fits_in_half_of_memory(int64_t bytes) {
  return bytes / sysconf(_SC_PAGESIZE) < sysconf(_SC_PHYS_PAGES) / 2;
}

}  // namespace

struct Checkpoint::Storage {
  std::unique_ptr<SafetensorsIndex> index;
  std::vector<AlignedBytes> copies;  // widened vectors, narrowed tables, unaligned weights
};

Checkpoint::Checkpoint() : storage_(std::make_unique<Storage>()) {}
Checkpoint::~Checkpoint() = default;

Result<std::unique_ptr<Checkpoint>> Checkpoint::load(const std::string& path, WeightPlacer& placer,
                                                     const std::function<void(int64_t, int64_t)>& progress) {
  const std::string config_path = (std::filesystem::path(path) / "config.json").string();
  const auto text = read_file(config_path, kMaxConfigBytes);
  if (!text) return tl::make_unexpected(text.error());
  auto config = ModelConfig::parse(*text, config_path);
  if (!config) return tl::make_unexpected(config.error());
  auto index = SafetensorsIndex::open(path);
  if (!index) return tl::make_unexpected(index.error());
  if (fits_in_half_of_memory((*index)->total_bytes())) (*index)->prefetch();

  std::unique_ptr<Checkpoint> checkpoint(new Checkpoint);
  checkpoint->config_ = std::move(*config);
  checkpoint->storage_->index = std::move(*index);
  checkpoint->weight_bytes_ = checkpoint_size(checkpoint->config_).bytes;
  const SafetensorsIndex& files = *checkpoint->storage_->index;
  Loader loader(files, placer, checkpoint->storage_->copies, progress, checkpoint->weight_bytes_);
  visit_weights(checkpoint->config_, checkpoint->weights_, loader);
  if (loader.error()) return tl::make_unexpected(*loader.error());
  if (loader.reads_files()) checkpoint->mapped_files_ = files.mappings();
  if (auto checked = check_leftovers(files, checkpoint->config_, loader.used()); !checked) {
    return tl::make_unexpected(checked.error());
  }
  FT_CHECK(loader.done_bytes() == checkpoint->weight_bytes_, loader.done_bytes(), checkpoint->weight_bytes_);
  if (progress) progress(checkpoint->weight_bytes_, checkpoint->weight_bytes_);
  return checkpoint;
}

}  // namespace ft
