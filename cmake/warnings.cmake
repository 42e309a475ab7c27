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
