// Fills a weight tree from mapped files. Part of weights.cc.
#pragma once

#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

#include "core/safetensors.h"
#include "core/shards.h"
#include "core/weights.h"

namespace ft {

struct FreeBytes {
  void operator()(void* bytes) const { std::free(bytes); }
};
using AlignedBytes = std::unique_ptr<void, FreeBytes>;

// Rows and columns of a stored tensor, in its elements.
struct TensorPart {
  const StoredTensor* tensor = nullptr;
  ShardRange rows;
  ShardRange cols;

  int64_t element_bytes() const { return byte_size(tensor->dtype); }
  int64_t stored_cols() const { return tensor->shape.back(); }
  int64_t row_bytes() const { return cols.size() * element_bytes(); }
  int64_t bytes() const { return rows.size() * row_bytes(); }
  // Whether its bytes lie one behind the other.
  bool contiguous() const { return cols.size() == stored_cols(); }
  // Where a row of it begins.
  const std::byte* row(int64_t index) const {
    return tensor->data + ((rows.begin + index) * stored_cols() + cols.begin) * element_bytes();
  }
  // From its first byte to its last, with what lies between its rows.
  std::span<const std::byte> extent() const;
};

// After the first error every further tensor is skipped. Columns of a tensor are copied some tensors at a time,
// on several threads; call finish() behind the last.
class WeightLoader final : public WeightVisitor {
 public:
  using Progress = std::function<void(int64_t, int64_t)>;

  // `copies` receives what is not read from the files.
  WeightLoader(const SafetensorsIndex& index, WeightPlacer& placer, std::vector<AlignedBytes>& copies,
               const Progress& progress)
      : index_(index),
        placer_(placer),
        ranks_(placer.ranks()),
        copies_(copies),
        progress_(progress),
        total_bytes_(index.total_bytes()) {}

  // Whether tensors are only looked up and checked, or also placed and set in the tree.
  void set_checking(bool checking) { checking_ = checking; }
  const std::optional<Error>& error() const { return error_; }
  void forget_error() { error_.reset(); }
  // What progress counts up to, where that is not all that is stored.
  void set_total_bytes(int64_t bytes) { total_bytes_ = bytes; }
  // Whether the system is asked to read ahead what is placed where it lies.
  void set_reading_ahead(bool reading_ahead) { reading_ahead_ = reading_ahead; }
  // Places what was put off.
  void finish();

  // What was placed.
  RankShare share() const { return {done_bytes_ - share_.sharded, share_.sharded, share_.copied}; }
  // Whether a weight is read from its file for as long as it is used, because the placer made no copy.
  bool reads_files() const { return reads_files_; }
  // Tensors of the files that the tree has a place for.
  bool used(const StoredTensor* tensor) const { return used_.contains(tensor); }
  // What was placed, by part of the model.
  std::vector<WeightPart> parts() const;

  void linear(const std::string& name, Weight& weight, int64_t rows, int64_t cols,
              WeightFormat format) override;
  void sharded_linear(const std::string& name, Weight& weight, int64_t rows, int64_t cols,
                      WeightFormat format, ShardSide side, int64_t unit) override;
  void matrix(const std::string& name, Weight& weight, int64_t rows, int64_t cols) override;
  void vector(const std::string& name, Vector& vector, std::vector<int64_t> shape,
              DType stored_type) override;
  void table(const std::string& name, const int32_t*& table, const int32_t*& host, int64_t rows, int64_t cols,
             int64_t limit) override;

 private:
  void reject(ErrorCode code, const StoredTensor& tensor, const std::string& problem);
  // The tensor of that name and shape, of one of these dtypes; null after an error, or when it makes one.
  const StoredTensor* stored(const std::string& name, const std::vector<int64_t>& shape,
                             std::initializer_list<DType> dtypes);
  // The tensors of a linear weight, of which `weight` is the part that is there; null after an error.
  struct LinearTensors {
    const StoredTensor* data = nullptr;
    const StoredTensor* scale = nullptr;
  };
  LinearTensors stored_linear(const std::string& name, const Weight& weight);
  // Columns that are still to be copied and placed; `address` receives where.
  struct Columns {
    TensorPart part;
    std::byte* copy;
    std::function<void(const void*)> address;
  };
  void place_columns(const TensorPart& part, std::function<void(const void*)> address);
  void place_put_off();
  // The scale of a linear weight as bytes of ue8m0, from either form that it is stored in.
  const uint8_t* placed_scale(const TensorPart& scale);
  // Where the backend reads contiguous bytes as stored: from the mapping, or from a copy if they lie there unaligned.
  const void* placed(const TensorPart& part);
  const void* place(const StoredTensor& tensor, int64_t stored_bytes, const void* host, size_t bytes);
  void* new_copy(size_t bytes);
  void count(const std::string& name, std::initializer_list<const TensorPart*> parts);

  const SafetensorsIndex& index_;
  WeightPlacer& placer_;
  RankGroup ranks_;
  std::vector<AlignedBytes>& copies_;
  const Progress& progress_;
  int64_t total_bytes_ = 0;
  int64_t done_bytes_ = 0;
  RankShare share_;
  std::vector<Columns> put_off_;
  int64_t put_off_bytes_ = 0;
  bool reading_ahead_ = false;
  int64_t reported_bytes_ = 0;
  bool checking_ = false;
  bool reads_files_ = false;
  std::unordered_set<const StoredTensor*> used_;
  std::map<std::string, WeightPart> parts_;
  std::optional<Error> error_;
};

}  // namespace ft
