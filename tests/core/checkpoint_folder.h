// Checkpoint folders that a test changes before they are loaded, and placers of their weights.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/weights.h"
#include "tests/support/temp_dir.h"

namespace ft {

using nlohmann::json;

inline const std::string kTiny = FT_TEST_DATA "/goldens/tiny-v4";
inline const std::string kTinyDspark = FT_TEST_DATA "/goldens/tiny-v4-dspark";

// A CPU: weights are read where they lie.
class HostPlacer final : public WeightPlacer {
 public:
  const void* place(const void* host, size_t bytes) override {
    ++calls;
    placed_bytes += bytes;
    return host;
  }
  int calls = 0;
  size_t placed_bytes = 0;
};

// A device: weights are copied; the memory holds `capacity` bytes.
class CopyingPlacer final : public WeightPlacer {
 public:
  explicit CopyingPlacer(size_t capacity) : capacity_(capacity) {}
  const void* place(const void* host, size_t bytes) override {
    if (bytes > capacity_) return nullptr;
    capacity_ -= bytes;
    auto& copy = copies_.emplace_back(new char[bytes]);
    std::memcpy(copy.get(), host, bytes);
    return copy.get();
  }

 private:
  size_t capacity_;
  std::vector<std::unique_ptr<char[]>> copies_;
};

// A folder whose config.json and model.safetensors start as copies of another's.
class CheckpointFolder {
 public:
  explicit CheckpointFolder(const std::string& source)
      : config(json::parse(file_bytes(source + "/config.json"))),
        file_(file_bytes(source + "/model.safetensors")) {
    uint64_t length = 0;
    std::memcpy(&length, file_.data(), sizeof(length));
    header = json::parse(file_.substr(8, length));
    data = file_.substr(8 + length);
  }

  // Writes the folder with `padding` spaces behind the header, and loads it.
  Result<std::unique_ptr<Checkpoint>> load(WeightPlacer& placer, size_t padding = 0) {
    dir_.write("config.json", config.dump());
    const std::string text = header.dump() + std::string(padding, ' ');
    const uint64_t length = text.size();
    dir_.write("model.safetensors", std::string(reinterpret_cast<const char*>(&length), 8) + text + data);
    return Checkpoint::load(dir_.path(), placer);
  }

  void rename(const std::string& from, const std::string& to) {
    header[to] = header.at(from);
    header.erase(from);
  }

  json config;
  json header;
  std::string data;

 private:
  std::string file_;
  TempDir dir_;
};

inline void expect_warnings(const Checkpoint& checkpoint, const std::vector<std::string>& fragments) {
  ASSERT_EQ(checkpoint.warnings().size(), fragments.size()) << checkpoint.warnings().front();
  for (size_t i = 0; i < fragments.size(); ++i)
    EXPECT_NE(checkpoint.warnings()[i].find(fragments[i]), std::string::npos) << checkpoint.warnings()[i];
}

// The bytes of everything that was loaded, in the order of the tree.
class Gather final : public WeightVisitor {
 public:
  void linear(const std::string& name, Weight& weight, int64_t, int64_t, WeightFormat) override {
    if (weight.format == WeightFormat::kBF16) expect_aligned(name, weight.data, 2);
    add(weight.data, weight.data_bytes());
    if (weight.scale != nullptr) add(weight.scale, weight.scale_bytes());
  }
  void vector(const std::string& name, Vector& vector, std::vector<int64_t>, DType) override {
    expect_aligned(name, vector.data, 4);
    add(vector.data, vector.size * 4);
  }
  void matrix(const std::string& name, Weight& weight, int64_t, int64_t) override {
    expect_aligned(name, weight.data, 4);
    add(weight.data, weight.data_bytes());
  }
  void table(const std::string& name, const int32_t*& table, const int32_t*&, int64_t rows, int64_t cols,
             int64_t) override {
    expect_aligned(name, table, 4);
    add(table, rows * cols * 4);
  }

  std::string bytes;

 private:
  static void expect_aligned(const std::string& name, const void* data, uintptr_t alignment) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % alignment, 0u) << name;
  }
  void add(const void* data, int64_t size) {
    bytes.append(static_cast<const char*>(data), static_cast<size_t>(size));
  }
};

inline std::string gather(const Checkpoint& checkpoint) {
  // The visitor interface fills trees, so it takes a tree it may change; Gather only reads.
  auto& weights = const_cast<ModelWeights&>(checkpoint.weights());
  Gather gathered;
  visit_model(checkpoint.config(), weights, gathered);
  if (!weights.mtp.empty() || weights.dspark != nullptr) visit_drafts(checkpoint.config(), weights, gathered);
  return gathered.bytes;
}

}  // namespace ft
