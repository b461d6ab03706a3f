// A library that is loaded when it is used, so that programs start where it is not installed.
#pragma once

#include <dlfcn.h>

#include "core/error.h"

namespace ft::cuda {

// The library stays loaded: what was found in it may be kept.
class LoadedLibrary {
 public:
  // kUnavailable with the system's reason where `name`, as of a shared object, cannot be loaded.
  static Result<LoadedLibrary> load(const char* name) {
    void* handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) return fail(ErrorCode::kUnavailable, "{}", dlerror());
    return LoadedLibrary(handle);
  }

  // `function`, a pointer to one, becomes the library's of this name; null where it has none.
  template <class Function>
  void find(Function& function, const char* name) {
    function = reinterpret_cast<Function>(dlsym(handle_, name));
    complete_ = complete_ && function != nullptr;
  }
  // Whether all that was asked for was found.
  bool complete() const { return complete_; }

 private:
  explicit LoadedLibrary(void* handle) : handle_(handle) {}

  void* handle_;
  bool complete_ = true;
};

}  // namespace ft::cuda
