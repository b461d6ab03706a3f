// A checkpoint with its backend and model, for tests that run the forward pass.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/model.h"
#include "core/safetensors.h"
#include "core/weights.h"

namespace ft::support {

// A checkpoint on the backend that it was loaded for.
struct OpenCheckpoint {
  std::unique_ptr<Backend> backend;  // outlives the checkpoint
  std::unique_ptr<Checkpoint> checkpoint;
};

// The names of the backends that an executable runs model tests on, and how to load a checkpoint on one: defined once
// in each (tests/support/cpu_backends.cc, tests/gpu/device.cc, tests/mpi/main.cc). Ends the test program with the
// message where that fails.
std::vector<std::string> model_backends();
OpenCheckpoint open_checkpoint(const std::string& path, const std::string& backend_name, Numerics numerics);

// One of these on its own, where it is this process alone that computes.
std::unique_ptr<Backend> make_test_backend(const std::string& name, Numerics numerics);
OpenCheckpoint open_on(std::unique_ptr<Backend> backend, const std::string& path);

// What open_checkpoint() gives, and a model of it.
struct LoadedModel {
  LoadedModel(const std::string& path, const std::string& backend_name, Numerics numerics, int32_t rows,
              int32_t sequences = 2);

  std::unique_ptr<Backend> backend;
  std::unique_ptr<Checkpoint> checkpoint;
  std::unique_ptr<Model> model;
};

// The tensors of one safetensors file of golden data.
class GoldenFile {
 public:
  explicit GoldenFile(const std::string& path);
  bool has(const std::string& name) const { return file_->find(name) != nullptr; }
  std::span<const float> f32(const std::string& name) const;
  std::span<const int32_t> i32(const std::string& name) const;
  // Names that begin with `prefix`.
  std::vector<std::string> names(const std::string& prefix) const;
  const StoredTensor& tensor(const std::string& name) const;

 private:
  std::unique_ptr<SafetensorsFile> file_;
};

}  // namespace ft::support
