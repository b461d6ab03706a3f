#include "core/ranks/weight_catalog.h"

namespace ft::ranks {

class WeightCatalog::Walk final : public WeightVisitor {
 public:
  explicit Walk(WeightCatalog& catalog) : catalog_(catalog) {}
  void linear(const std::string&, Weight& weight, int64_t, int64_t, WeightFormat) override {
    catalog_.weights.add(weight);
  }
  void vector(const std::string&, Vector& vector, std::vector<int64_t>, DType) override {
    catalog_.vectors.add(vector);
  }
  void matrix(const std::string&, Weight& weight, int64_t, int64_t) override { catalog_.weights.add(weight); }
  // Read through the MoeWeights that have them.
  void table(const std::string&, const int32_t*&, const int32_t*&, int64_t, int64_t, int64_t) override {}

 private:
  WeightCatalog& catalog_;
};

WeightCatalog::WeightCatalog(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {
  // The walk writes nothing: every vector of a loaded tree has its size, and this visitor only looks.
  auto& tree = const_cast<ModelWeights&>(checkpoint.weights());
  Walk walk(*this);
  visit_model(checkpoint.config(), tree, walk);
  // A draft may have been left out, and visiting it would make it again.
  if (!tree.mtp.empty() || tree.dspark != nullptr) visit_drafts(checkpoint.config(), tree, walk);

  const auto add_block = [&](const BlockWeights& block) {
    hyper_connections.add(block.hc_attn);
    hyper_connections.add(block.hc_ffn);
    moes.add(block.ffn);
  };
  head_collapses.add(tree.head_collapse);
  for (const BlockWeights& layer : tree.layers) add_block(layer);
  for (const MtpWeights& mtp : tree.mtp) {
    add_block(mtp.block);
    head_collapses.add(mtp.head);
  }
  if (tree.dspark != nullptr) {
    for (const BlockWeights& stage : tree.dspark->stages) add_block(stage);
    head_collapses.add(tree.dspark->head);
  }
  for (const Vector* vector : vectors.things())
    vectors_by_data_.emplace(vector->data, vectors.number(vector));
  for (const Weight* weight : weights.things())
    if (weight->data != nullptr)
      weights_by_data_.emplace(static_cast<const uint8_t*>(weight->data), weights.number(weight));
}

int32_t WeightCatalog::vector_at(const float* data) const {
  const auto found = vectors_by_data_.find(data);
  return found == vectors_by_data_.end() ? -1 : found->second;
}

int32_t WeightCatalog::weight_around(const void* address) const {
  const auto* at = static_cast<const uint8_t*>(address);
  auto found = weights_by_data_.upper_bound(at);
  if (found == weights_by_data_.begin()) return -1;
  --found;
  return at < found->first + weights.thing(found->second)->data_bytes() ? found->second : -1;
}

}  // namespace ft::ranks
