#include "tests/support/golden_file.h"

#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "core/dtype.h"

namespace ft::test {

namespace {

std::vector<uint8_t> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot open " + path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

template <class T>
std::vector<T> reinterpret(const std::vector<uint8_t>& bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
  return values;
}

}  // namespace

GoldenFile::GoldenFile(const std::string& path) : path_(path), data_(read_file(path)) {
  uint64_t header_size = 0;
  if (data_.size() < sizeof(header_size)) throw std::runtime_error(path + " has no header");
  std::memcpy(&header_size, data_.data(), sizeof(header_size));
  if (header_size > data_.size() - sizeof(header_size)) throw std::runtime_error(path + " is cut short");
  const size_t base = sizeof(header_size) + header_size;
  const auto* text = reinterpret_cast<const char*>(data_.data()) + sizeof(header_size);
  const auto header = nlohmann::json::parse(text, text + header_size);
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    Tensor tensor{entry["dtype"], entry["shape"], base, base};
    tensor.begin += entry["data_offsets"][0].get<size_t>();
    tensor.end += entry["data_offsets"][1].get<size_t>();
    if (tensor.begin > tensor.end || tensor.end > data_.size())
      throw std::runtime_error(path + ": range of " + name);
    tensors_[name] = tensor;
  }
}

const GoldenFile::Tensor& GoldenFile::find(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) throw std::runtime_error(path_ + " has no tensor " + name);
  return found->second;
}

std::vector<uint8_t> GoldenFile::bytes(const std::string& name) const {
  const Tensor& tensor = find(name);
  return {data_.begin() + static_cast<int64_t>(tensor.begin),
          data_.begin() + static_cast<int64_t>(tensor.end)};
}

std::vector<float> GoldenFile::floats(const std::string& name) const {
  const std::string& dtype = find(name).dtype;
  if (dtype == "F32") return reinterpret<float>(bytes(name));
  if (dtype != "BF16") throw std::runtime_error(path_ + ": " + name + " is " + dtype + ", not F32 or BF16");
  std::vector<float> values;
  for (const uint16_t bits : reinterpret<uint16_t>(bytes(name))) values.push_back(bf16_to_f32(bits));
  return values;
}

std::vector<int32_t> GoldenFile::ints(const std::string& name) const {
  const std::string& dtype = find(name).dtype;
  if (dtype == "I32") return reinterpret<int32_t>(bytes(name));
  if (dtype != "I64") throw std::runtime_error(path_ + ": " + name + " is " + dtype + ", not I32 or I64");
  std::vector<int32_t> values;
  for (const int64_t value : reinterpret<int64_t>(bytes(name))) values.push_back(static_cast<int32_t>(value));
  return values;
}

HostWeight GoldenFile::matrix(const std::string& name) const {
  const Tensor& tensor = find(name);
  HostWeight weight;
  weight.format = tensor.dtype == "F32" ? WeightFormat::kF32 : WeightFormat::kBF16;
  if (tensor.shape.size() != 2 || (tensor.dtype != "F32" && tensor.dtype != "BF16")) {
    throw std::runtime_error(path_ + ": " + name + " is no plain matrix");
  }
  weight.rows = tensor.shape[0];
  weight.cols = tensor.shape[1];
  weight.data = bytes(name);
  return weight;
}

HostWeight GoldenFile::linear(const std::string& name) const {
  const Tensor& tensor = find(name + ".weight");
  if (tensor.dtype == "BF16") return matrix(name + ".weight");
  HostWeight weight;
  weight.format = tensor.dtype == "I8" ? WeightFormat::kFp4Row : WeightFormat::kFp8Block;
  weight.rows = tensor.shape.at(0);
  weight.cols = tensor.shape.at(1) * (tensor.dtype == "I8" ? 2 : 1);
  weight.data = bytes(name + ".weight");
  weight.scale = bytes(name + ".scale");
  return weight;
}

ModelConfig golden_config(const std::string& directory) {
  std::ifstream file(directory + "/config.json");
  if (!file) throw std::runtime_error("cannot open " + directory + "/config.json");
  const auto json = nlohmann::json::parse(file);
  ModelConfig c;
  c.vocab_size = json.at("vocab_size");
  c.hidden_size = json.at("hidden_size");
  c.num_hidden_layers = json.at("num_hidden_layers");
  c.num_nextn_predict_layers = json.at("num_nextn_predict_layers");
  c.num_hash_layers = json.at("num_hash_layers");
  c.num_attention_heads = json.at("num_attention_heads");
  c.head_dim = json.at("head_dim");
  c.qk_rope_head_dim = json.at("qk_rope_head_dim");
  c.q_lora_rank = json.at("q_lora_rank");
  c.o_groups = json.at("o_groups");
  c.o_lora_rank = json.at("o_lora_rank");
  c.sliding_window = json.at("sliding_window");
  c.compress_ratios = json.at("compress_ratios").get<std::vector<int>>();
  c.index_n_heads = json.at("index_n_heads");
  c.index_head_dim = json.at("index_head_dim");
  c.index_topk = json.at("index_topk");
  c.moe_intermediate_size = json.at("moe_intermediate_size");
  c.n_routed_experts = json.at("n_routed_experts");
  c.num_experts_per_tok = json.at("num_experts_per_tok");
  c.routed_scaling_factor = json.at("routed_scaling_factor");
  c.swiglu_limit = json.at("swiglu_limit");
  c.rms_norm_eps = json.at("rms_norm_eps");
  c.hc_mult = json.at("hc_mult");
  c.hc_sinkhorn_iters = json.at("hc_sinkhorn_iters");
  c.hc_eps = json.at("hc_eps");
  c.rope_theta = json.at("rope_theta");
  c.compress_rope_theta = json.at("compress_rope_theta");
  const auto& scaling = json.at("rope_scaling");
  c.rope_scaling = {scaling.at("factor"), scaling.at("beta_fast"), scaling.at("beta_slow"),
                    scaling.at("original_max_position_embeddings")};
  c.max_position_embeddings = json.at("max_position_embeddings");
  c.experts_fp4 = json.value("expert_dtype", "") == "fp4";
  return c;
}

}  // namespace ft::test
