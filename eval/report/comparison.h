// Two cells of acceptance experiments beside each other, prompt by prompt.
#pragma once

#include <string>
#include <vector>

#include "eval/report/document.h"
#include "eval/results/result_file.h"

namespace ft::eval {

// Adds a table of the accepted length of one cell over that of the other, in all and by domain, with paired
// intervals. The cells are the first ones of `results` whose names contain `cell` and `other`.
// kInvalidArgument, with the names there are, where there is none, or where the two did not run the same
// prompts.
Result<void> add_comparison(const std::vector<ResultFile>& results, const std::string& cell,
                            const std::string& other, Document& document);

}  // namespace ft::eval
