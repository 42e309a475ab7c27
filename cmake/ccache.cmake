# Compile through ccache where it is installed.
#
# base_dir and no hash of the directory let build trees (default, python, a second clone) share what was compiled. There are no
# precompiled headers: GCC 12 has crashed on one that ccache had taken from another build tree, and they saved a second a file.
option(COGWORK_CCACHE "Compile through ccache if it is installed" ON)
if(COGWORK_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  find_program(CCACHE_PROGRAM ccache)
  mark_as_advanced(CCACHE_PROGRAM)
  if(CCACHE_PROGRAM)
    set(CMAKE_CXX_COMPILER_LAUNCHER
        "${CMAKE_COMMAND}" -E env "CCACHE_BASEDIR=${PROJECT_SOURCE_DIR}" CCACHE_NOHASHDIR=1 "${CCACHE_PROGRAM}")
  endif()
endif()
