// A target model with a drafter beside it, driven as the engine drives them.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "draft/drafter_registry.h"
#include "tests/support/loaded_model.h"

namespace ft::draft {

inline std::vector<float> downloaded(Backend& backend, Matrix matrix) {
  EXPECT_EQ(matrix.stride, matrix.cols);
  std::vector<float> values(static_cast<size_t>(matrix.rows * matrix.cols));
  backend.download(values.data(), matrix.data, values.size() * sizeof(float));
  return values;
}

inline int32_t argmax(std::span<const float> row) {
  return static_cast<int32_t>(std::max_element(row.begin(), row.end()) - row.begin());
}

// Largest |got - want| - relative * |want|; sizes must agree.
inline double worst_difference(std::span<const float> got, std::span<const float> want,
                               double relative = 0.0) {
  EXPECT_EQ(got.size(), want.size());
  double worst = 0.0;
  for (size_t i = 0; i < std::min(got.size(), want.size()); ++i)
    worst = std::max(worst, std::abs(static_cast<double>(got[i]) - want[i]) - relative * std::abs(want[i]));
  return worst;
}

// Every bit of a tree, readable.
inline std::string tree_text(const DraftTree& tree) {
  std::string text;
  for (const DraftNode& node : tree.nodes)
    text += fmt::format("{}<{}:{:08x}/{:08x}.{}.{}.{} ", node.token, node.parent,
                        std::bit_cast<uint32_t>(node.path_probability), std::bit_cast<uint32_t>(node.score),
                        node.rank, node.depth, static_cast<int>(node.source));
  uint64_t hash = 0;
  for (const double p : tree.probability) hash = (hash ^ std::bit_cast<uint64_t>(p)) * 0x9e3779b97f4a7c15u;
  if (!tree.probability.empty()) text += fmt::format("{:016x}", hash);
  return text;
}

// Appends `tokens` to a target sequence in one forward call with all logits; `visit` sees it before the
// commit.
template <class Visit>
void run_and_commit(Model& model, SequenceId sequence, std::span<const int32_t> tokens, Visit visit) {
  std::vector<Row> rows;
  std::vector<int32_t> indices;
  const auto first = static_cast<int32_t>(model.cache().length(sequence));
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto index = static_cast<int32_t>(i);
    rows.push_back({tokens[i], first + index, sequence, index - 1});
    indices.push_back(index);
  }
  KvTransaction transaction = model.cache().begin();
  visit(model.forward(transaction.stage(rows), indices));
  std::move(transaction).commit(indices);
}

// A target sequence: its committed tokens are tokens[0, committed).
struct Growing {
  SequenceId id = 0;
  std::vector<int32_t> tokens;
  int64_t committed = 0;
  bool watched = true;  // the drafter is shown what is committed
};

class DraftHarness {
 public:
  DraftHarness(const std::string& path, const std::string& backend, Numerics numerics, DrafterChoice kind,
               int32_t rows = 64, int32_t sequences = 4)
      : loaded(path, backend, numerics, rows, sequences) {
    DraftLimits limits;
    limits.sequences = sequences;
    limits.rows = rows;
    limits.context = length_max();
    auto made = make_drafter(kind, *loaded.backend, *loaded.checkpoint, limits);
    EXPECT_TRUE(made.has_value());
    drafter = std::move(*made);
    sources = default_sources(kind, drafter->has_model(), drafter->has_ngram());
  }

  // What the cache of the loaded model has room for.
  int64_t length_max() const {
    return std::min<int64_t>(loaded.model->config().max_position_embeddings, 8192);
  }
  Growing open(std::vector<int32_t> tokens) {
    Growing growing{*loaded.model->cache().open(length_max()), std::move(tokens)};
    drafter->open(growing.id, length_max());
    return growing;
  }
  void close(const Growing& growing) {
    drafter->close(growing.id);
    loaded.model->cache().close(growing.id);
  }

  // Commits `count` more tokens of each sequence in one step; all but the last token of a sequence can be
  // committed: that one is the anchor. With `decoys`, each chain is surrounded by rows that are not accepted.
  void advance(std::span<Growing* const> sequences, int64_t count, bool decoys = false) {
    std::vector<Row> rows;
    std::vector<std::vector<int32_t>> accepted(sequences.size());
    for (size_t s = 0; s < sequences.size(); ++s) {
      const Growing& growing = *sequences[s];
      int32_t parent = kCommitted;
      for (int64_t i = 0; i < count; ++i) {
        const int64_t position = growing.committed + i;
        const int32_t token = growing.tokens[static_cast<size_t>(position)];
        if (decoys) rows.push_back({token ^ 1, static_cast<int32_t>(position), growing.id, parent});
        rows.push_back({token, static_cast<int32_t>(position), growing.id, parent});
        parent = static_cast<int32_t>(rows.size()) - 1;
        accepted[s].push_back(parent);
      }
    }
    KvTransaction transaction = loaded.model->cache().begin();
    const ForwardOutput output = loaded.model->forward(transaction.stage(rows), {});
    std::vector<int32_t> path;
    std::vector<ObservedRows> observed;
    for (size_t s = 0; s < sequences.size(); ++s) {
      const Growing& growing = *sequences[s];
      path.insert(path.end(), accepted[s].begin(), accepted[s].end());
      if (!growing.watched) continue;
      observed.push_back(
          {growing.id, growing.committed, accepted[s],
           std::span(growing.tokens)
               .subspan(static_cast<size_t>(growing.committed) + 1, static_cast<size_t>(count))});
    }
    std::move(transaction).commit(path);
    drafter->observe(output, observed);
    for (Growing* growing : sequences) growing->committed += count;
  }

  void advance_all_but_anchor(Growing& growing, int64_t chunk, bool decoys = false) {
    Growing* one[] = {&growing};
    const auto total = static_cast<int64_t>(growing.tokens.size()) - 1;
    while (growing.committed < total) advance(one, std::min(chunk, total - growing.committed), decoys);
  }

  ProposeRequest request(const Growing& growing, double temperature, int32_t nodes_max,
                         TreeShape shape = TreeShape::kBestFirst) const {
    ProposeRequest request;
    request.sequence = growing.id;
    request.position = growing.committed;
    request.history = std::span(growing.tokens).first(static_cast<size_t>(growing.committed) + 1);
    request.anchor = request.history.back();
    request.temperature = temperature;
    request.seed = 1234 + growing.tokens.size();
    request.nodes_max = nodes_max;
    request.shape = shape;
    request.use_model = sources.use_model;
    request.use_ngram = sources.use_ngram;
    return request;
  }

  DraftTree propose(const Growing& growing, double temperature, int32_t nodes_max,
                    TreeShape shape = TreeShape::kBestFirst) {
    const ProposeRequest one = request(growing, temperature, nodes_max, shape);
    DraftTree tree;
    drafter->propose(std::span(&one, 1), std::span(&tree, 1));
    return tree;
  }

  DraftTree draw(const Growing& growing, double temperature, int32_t nodes_max) {
    ProposeRequest one = request(growing, temperature, nodes_max);
    one.draw = true;
    DraftTree tree;
    drafter->propose(std::span(&one, 1), std::span(&tree, 1));
    return tree;
  }

  // What the drafter says now, over temperatures and shapes, and a drawn chain.
  std::string opinion(const Growing& growing) {
    std::string text;
    for (double temperature : {0.0, 0.7, 1.0})
      for (TreeShape shape : {TreeShape::kBestFirst, TreeShape::kChain})
        text += tree_text(propose(growing, temperature, 12, shape)) + "\n";
    return text + tree_text(draw(growing, 0.8, 12)) + "\n";
  }

  support::LoadedModel loaded;
  std::unique_ptr<Drafter> drafter;
  DraftSources sources;
};

}  // namespace ft::draft
