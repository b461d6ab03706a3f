// What an acceptance experiment is asked for, and the presets.
#pragma once

#include <string>
#include <vector>

#include "eval/accept/grid.h"
#include "eval/session.h"

namespace ft::eval {

struct AcceptOptions {
  SessionOptions session;
  std::vector<std::string> prompts;  // files, see read_domain_prompts; each is a dataset
  std::vector<GridAxes> grids = {GridAxes{}};
  int64_t max_tokens = 128;
  int32_t seeds = 1;  // completions per prompt; one at temperature 0
  uint64_t seed = 0;
  // Variants of each prompt, with 0, 1, ... copies of its first token more at its beginning. V4 compresses
  // blocks of four tokens, so an answer depends on where the prompt stands modulo 4; four variants average
  // over that.
  int32_t phases = 1;
  int32_t prompts_max = 0;  // of a dataset, evenly spread over it; 0 = all
  // Prompts completed first, with seeds of their own, so that the scheduler has seen the content; they do not
  // count.
  int32_t warm_up = 64;
  int32_t concurrency = 8;
  std::string url;                   // a running server to measure instead of a checkpoint
  std::string model;                 // its name there; "" = the first that it lists
  std::string out;                   // folder of the result and of the journal of an unfinished run
  bool fresh = false;                // forget an unfinished run
  std::vector<std::string> command;  // the words of the command line, for the result
};

// "quick": the nano model on its own questions, in less than five minutes on two cores. "paper": the protocol
// of DSpark's paper (dspark.md 5, table A): temperature 1, rejection, chains of the trained block, five
// completions of up to 2,048 tokens. kInvalidArgument for any other name.
Result<AcceptOptions> accept_preset(const std::string& name);

// All that the cells' outcome depends on, for recognising an unfinished run of the same experiment.
Json accept_configuration(const AcceptOptions& options);

}  // namespace ft::eval
