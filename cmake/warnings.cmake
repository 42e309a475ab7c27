# What every file of the project is compiled with. Linked PRIVATE, so that it never reaches third-party code.
add_library(cogwork_warnings INTERFACE)
target_compile_options(cogwork_warnings INTERFACE
  -Wall -Wextra -Wconversion -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wimplicit-fallthrough)
if(COGWORK_WERROR)
  target_compile_options(cogwork_warnings INTERFACE -Werror)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  target_compile_options(cogwork_warnings INTERFACE -Wthread-safety)
endif()
# GCC 12 takes `"text" + std::string` at -O3 for a copy that overlaps itself (its bug 105651).
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(cogwork_warnings INTERFACE -Wno-restrict)
endif()
