// Memory-mapped safetensors: one file, or the shards of an index, with every header checked before anything
// is read. Format: 8 bytes little-endian header length, a JSON header {name: {dtype, shape, data_offsets}},
// then the data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/dtype.h"
#include "core/error.h"
#include "core/mapped_file.h"

namespace ft {

class SafetensorsFile;

// A tensor where it lies in a mapped file: row-major, little-endian, not necessarily aligned to its element.
struct StoredTensor {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;  // empty for a scalar
  const std::byte* data = nullptr;
  int64_t bytes = 0;
  const SafetensorsFile* file = nullptr;

  int64_t size() const { return bytes / byte_size(dtype); }
};

// "[4, 256]", as messages show shapes.
std::string shape_text(std::span<const int64_t> shape);

// One mapped file. Tensors point into the mapping and live as long as it; the file on disk must not be
// written meanwhile (core/mapped_file.h).
class SafetensorsFile {
 public:
  static constexpr int64_t kMaxHeaderBytes = 100'000'000;  // the limit of the format's own reader
  static constexpr size_t kMaxNameBytes = 1024;

  // Maps `path` read-only and checks the header: its length, JSON, known dtypes, shapes that fit their byte
  // range, ranges that cover the data part once, without overlap, hole or overhang. Errors name file and
  // tensor: kNotFound if absent, kInvalidFile otherwise.
  static Result<std::unique_ptr<SafetensorsFile>> open(const std::string& path);
  SafetensorsFile(const SafetensorsFile&) = delete;
  SafetensorsFile& operator=(const SafetensorsFile&) = delete;

  const std::string& path() const { return mapping_->path(); }
  const std::shared_ptr<const MappedFile>& mapping() const { return mapping_; }
  // By name.
  const std::map<std::string, StoredTensor, std::less<>>& tensors() const { return tensors_; }
  // Null where the file has no such tensor.
  const StoredTensor* find(std::string_view name) const;

 private:
  SafetensorsFile() = default;
  Result<void> read_header();

  std::shared_ptr<const MappedFile> mapping_;
  std::map<std::string, StoredTensor, std::less<>> tensors_;
};

// All tensors of a checkpoint directory.
class SafetensorsIndex {
 public:
  static constexpr int64_t kMaxIndexBytes = 200'000'000;
  static constexpr size_t kMaxShards = 4096;

  // Opens the shards named by `directory`/model.safetensors.index.json, or where there is no index
  // `directory`/model.safetensors. The index decides: every entry is a plain *.safetensors name in the
  // directory, exists, and holds the tensor. What the shards hold beyond it is left out, with a warning.
  static Result<std::unique_ptr<SafetensorsIndex>> open(const std::string& directory);

  // A line for each kind of thing that was left out.
  const std::vector<std::string>& warnings() const { return warnings_; }
  // The file that lists the tensors, for messages: model.safetensors or the index.
  const std::string& path() const { return path_; }
  const std::map<std::string_view, const StoredTensor*>& tensors() const { return tensors_; }
  const StoredTensor* find(std::string_view name) const;
  // Data bytes of all tensors.
  int64_t total_bytes() const;
  // Asks the system to read all files ahead.
  void prefetch() const;
  // The files that tensors lie in.
  std::vector<std::shared_ptr<const MappedFile>> mappings() const;

 private:
  SafetensorsIndex() = default;
  Result<void> open_shards(const std::string& directory);
  void warn_of_leftovers();

  std::string path_;
  std::vector<std::string> warnings_;
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::map<std::string_view, const StoredTensor*> tensors_;  // names live in the files
};

// A tensor to write; `data` has the row-major elements of `shape`.
struct TensorToWrite {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  const void* data = nullptr;
};

// Writes a safetensors file: to a temporary file beside `path`, renamed when complete, so that a reader never
// sees half of it. Data is laid out by falling element size, so every tensor is aligned. Duplicate, empty or
// over-long names and negative or overflowing shapes are kInvalidArgument; what the file system refuses is
// kInvalidFile.
Result<void> write_safetensors(const std::string& path, std::span<const TensorToWrite> tensors);

}  // namespace ft
