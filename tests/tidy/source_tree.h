// The files of the repository as the tidy rules read them: whole, without comments and literals, and as
// comments alone.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ft::tidy {

struct Source {
  std::string path;  // from the root, "core/model.h"
  std::string text;
  std::string code;      // C++: text with comments and literals blanked out. Other files: empty.
  std::string comments;  // C++, CMake, shell, Python: text with all but comments blanked out. Markdown: text.

  Source(std::string path, std::string text);

  std::string folder() const { return path.substr(0, path.find('/')); }
  std::string name() const { return path.substr(path.rfind('/') + 1); }
  bool is_cpp() const;
  bool is_header() const { return path.ends_with(".h") || path.ends_with(".cuh"); }
  bool is_markdown() const { return path.ends_with(".md"); }
};

// C++ `text` with comments, and what string and character literals hold, replaced by spaces. Line breaks
// stay.
std::string code_of(std::string_view text);

// C++ `text` with everything but the words of its comments replaced by spaces. Line breaks stay.
std::string comments_of(std::string_view text);

// Every file of the repository that people write: C++, CUDA, CMake, Markdown, shell, Python. Sorted by path.
const std::vector<Source>& source_tree();

// Whether the repository has a file or folder `path` (from the root). `*` stands for any part of one name,
// {a,b} for either.
bool in_repository(std::string_view path);

// 1 for the first line.
int line_of(std::string_view text, size_t offset);

}  // namespace ft::tidy
