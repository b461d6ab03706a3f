// A reader of one safetensors file for tests, written apart from
// core/safetensors.h so that neither checks itself.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/model_config.h"
#include "tests/support/host_weight.h"

namespace ft::test {

// A whole file in memory.
// A missing file or tensor, or one of another dtype, throws std::runtime_error naming it.
class GoldenFile {
 public:
  explicit GoldenFile(const std::string& path);

  bool has(const std::string& name) const { return tensors_.count(name) != 0; }
  const std::vector<int64_t>& shape(const std::string& name) const { return find(name).shape; }
  std::vector<uint8_t> bytes(const std::string& name) const;
  std::vector<float> floats(const std::string& name) const;  // F32, or BF16 widened
  std::vector<int32_t> ints(const std::string& name) const;  // I32, or I64 narrowed
  // `name`.weight with `name`.scale where that is there: F8_E4M3, I8 (two fp4 codes a byte) or BF16.
  HostWeight linear(const std::string& name) const;
  // A plain matrix under exactly `name`, F32 or BF16.
  HostWeight matrix(const std::string& name) const;

 private:
  struct Tensor {
    std::string dtype;
    std::vector<int64_t> shape;
    size_t begin = 0;
    size_t end = 0;
  };
  const Tensor& find(const std::string& name) const;

  std::string path_;
  std::vector<uint8_t> data_;
  std::map<std::string, Tensor> tensors_;
};

// The config.json of a golden checkpoint, read key by key.
ModelConfig golden_config(const std::string& directory);

}  // namespace ft::test
