# ft_library(name SOURCES... DEPENDS...): a library of our own code with the project's warnings.
add_library(ft_warnings INTERFACE)
target_compile_options(ft_warnings INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -fno-math-errno
    $<$<BOOL:${FT_WERROR}>:-Werror>>)

function(ft_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;PRIVATE" ${ARGN})
  if(NOT ARG_SOURCES)  # a folder with headers alone
    add_library(${name} INTERFACE)
    target_include_directories(${name} INTERFACE ${CMAKE_SOURCE_DIR})
    target_link_libraries(${name} INTERFACE ${ARG_DEPENDS})
    return()
  endif()
  add_library(${name} STATIC ${ARG_SOURCES})
  target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} PUBLIC ${ARG_DEPENDS} PRIVATE ft_warnings ${ARG_PRIVATE})
endfunction()

# ft_folder(folder DEPENDS... PRIVATE... EXCLUDE... SUBFOLDERS...): library ft_<folder> from the .cc files of the
# folder and of those below it that are named.
# A file named main.cc is a program, not part of the library; EXCLUDE names files that belong to another library.
function(ft_folder folder)
  cmake_parse_arguments(ARG "" "" "DEPENDS;PRIVATE;EXCLUDE;SUBFOLDERS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  foreach(subfolder ${ARG_SUBFOLDERS})
    file(GLOB more CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${subfolder}/*.cc)
    list(APPEND sources ${more})
  endforeach()
  foreach(name main.cc ${ARG_EXCLUDE})
    list(REMOVE_ITEM sources ${CMAKE_CURRENT_SOURCE_DIR}/${name})
  endforeach()
  ft_library(ft_${folder} SOURCES ${sources} DEPENDS ${ARG_DEPENDS} PRIVATE ${ARG_PRIVATE})
endfunction()
