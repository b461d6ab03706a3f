// A drafter around another one: passes everything on. A derived class changes what it is about.
#pragma once

#include <memory>
#include <utility>

#include "draft/drafter.h"

namespace ft::draft {

class DrafterWrapper : public Drafter {
 public:
  explicit DrafterWrapper(std::unique_ptr<Drafter> inner) : inner_(std::move(inner)) {}

  std::string_view name() const override { return inner_->name(); }
  std::string_view model_name() const override { return inner_->model_name(); }
  bool has_ngram() const override { return inner_->has_ngram(); }
  int depth_max() const override { return inner_->depth_max(); }
  ModelDepth model_depth() const override { return inner_->model_depth(); }
  void open(SequenceId sequence, int64_t length_max, const DraftSnapshot* from = nullptr) override {
    inner_->open(sequence, length_max, from);
  }
  std::unique_ptr<DraftSnapshot> snapshot(SequenceId sequence, int64_t length) override {
    return inner_->snapshot(sequence, length);
  }
  void observe(const ForwardOutput& output, std::span<const ObservedRows> observed) override {
    inner_->observe(output, observed);
  }
  void propose(std::span<const ProposeRequest> requests, std::span<DraftTree> trees) override {
    inner_->propose(requests, trees);
  }
  void close(SequenceId sequence) override { inner_->close(sequence); }

 private:
  std::unique_ptr<Drafter> inner_;
};

}  // namespace ft::draft
