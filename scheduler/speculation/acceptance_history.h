// What a request's recent drafts were like: how likely their best, second best, ... node was to be accepted.
#pragma once

#include <array>
#include <cstddef>
#include <span>

#include "draft/drafter.h"

namespace ft::scheduler {

// Drafts that an average remembers.
inline constexpr float kHistoryMemory = 8.0f;

// Averages over a few drafts. Part of the request's state.
struct AcceptanceHistory {
  static constexpr size_t kNodes = 16;

  // Path probability of the n-th best node down to the trained depth, falling.
  std::array<float, kNodes> value{};
  std::array<float, kNodes + 1> sum{};  // of the first n of them: asked for often, changed seldom
  float reach = 0.0f;                   // of the best one at that depth
  float onward = 0.0f;                  // per depth: the root of reach
  float observations = 0.0f;
  double idle_seconds = 0.0;  // spent in steps since the last draft

  // What one drafted tree shows.
  struct Shown {
    std::array<float, kNodes> best{};  // path probabilities down to the trained depth, falling
    size_t count = 0;                  // of these
    float reach = 0.0f;
    int trained_depth = 1;
    bool whole = true;  // whether it could be as deep as the model was trained for
  };
  // `probability`: estimates of the nodes of a tree that could be `depth` deep.
  static Shown show(std::span<const draft::DraftNode> nodes, std::span<const float> probability, int depth,
                    int trained_depth);
  // What a tree lacks that had to be shorter than the model was trained for is not taken for bad.
  void observe(const Shown& shown);
  // Whether too little has been seen to tell it from others.
  bool is_new() const { return observations < kOwnFrom; }

  // Drafts that make a request's own history better than the average of all.
  static constexpr float kOwnFrom = 2.0f;
};

}  // namespace ft::scheduler
