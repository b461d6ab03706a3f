// What every API's request comes to: prompts in tokens, how to go on from them, and how to write what comes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "scheduler/request.h"
#include "server/generation/choice.h"
#include "server/generation/response_writer.h"

namespace ft::server {

struct JobPrompt {
  std::vector<int32_t> tokens;
  int64_t max_tokens = 0;  // of each completion; within the context
};

struct GenerationJob {
  std::string id;                      // of the reply
  scheduler::GenerateRequest request;  // all but what differs by choice: prompt, max_tokens, seed + i, fork
  std::vector<JobPrompt> prompts;      // choices of prompt p have the indices p * choices and so on
  int choices = 1;                     // of each prompt
  std::string choices_field = "n";     // what a client reduces when there are too many
  ChoiceOptions choice;
  bool stream = false;
  bool shows_tokens = false;  // the writer is given the tokens, for their probabilities or how they came
  std::unique_ptr<ResponseWriter> writer;
};

}  // namespace ft::server
