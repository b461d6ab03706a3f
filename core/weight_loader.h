// Fills a weight tree from mapped files. Part of weights.cc.
#pragma once

#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "core/safetensors.h"
#include "core/weights.h"

namespace ft {

struct FreeBytes {
  void operator()(void* bytes) const { std::free(bytes); }
};
using AlignedBytes = std::unique_ptr<void, FreeBytes>;

// After the first error every further tensor is skipped.
class WeightLoader final : public WeightVisitor {
 public:
  using Progress = std::function<void(int64_t, int64_t)>;

  // `copies` receives what is not read from the files.
  WeightLoader(const SafetensorsIndex& index, WeightPlacer& placer, std::vector<AlignedBytes>& copies,
               const Progress& progress)
      : index_(index),
        placer_(placer),
        copies_(copies),
        progress_(progress),
        total_bytes_(index.total_bytes()) {}

  // Whether tensors are only looked up and checked, or also placed and set in the tree.
  void set_checking(bool checking) { checking_ = checking; }
  const std::optional<Error>& error() const { return error_; }
  void forget_error() { error_.reset(); }

  int64_t done_bytes() const { return done_bytes_; }
  // Whether a weight is read from its file for as long as it is used, because the placer made no copy.
  bool reads_files() const { return reads_files_; }
  // Tensors of the files that the tree has a place for.
  bool used(const StoredTensor* tensor) const { return used_.contains(tensor); }
  // What was placed, by part of the model.
  std::vector<WeightPart> parts() const;

  void linear(const std::string& name, Weight& weight, int64_t rows, int64_t cols,
              WeightFormat format) override;
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
  // The scale of a linear weight as bytes of ue8m0, from either form that it is stored in.
  const uint8_t* placed_scale(const StoredTensor& scale);
  // Where the backend reads the tensor as stored: from the mapping, or from a copy if it lies there unaligned.
  const void* placed(const StoredTensor& tensor);
  const void* place(const StoredTensor& tensor, const void* host, size_t bytes);
  void* new_copy(size_t bytes);
  void count(const std::string& name, std::initializer_list<const StoredTensor*> tensors);

  const SafetensorsIndex& index_;
  WeightPlacer& placer_;
  std::vector<AlignedBytes>& copies_;
  const Progress& progress_;
  int64_t total_bytes_ = 0;
  int64_t done_bytes_ = 0;
  int64_t reported_bytes_ = 0;
  bool checking_ = false;
  bool reads_files_ = false;
  std::unordered_set<const StoredTensor*> used_;
  std::map<std::string, WeightPart> parts_;
  std::optional<Error> error_;
};

}  // namespace ft
