"""Nodes that save 4D splats, for the pack itself and for other programs, and load them. What is written: fourreal_core/splats/splat_file.py, exports.py."""

from pathlib import Path

import folder_paths
from comfy_api.v0_0_2 import io

from ..fourreal_core.splats.exports import write_4dgs, write_glb, write_ply, write_sequence, write_usd
from ..fourreal_core.splats.splat_file import SUFFIX, load_splats, save_splats
from ..host.cancel import stops_on_cancel
from ..host.choices import within_limits
from ..host.places import file_problem, output_place, saved_files, time_and_size
from ..host.splats import MovingSplats, expect_splats
from ..host.types import counting_progress
from .inputs import SPLATS_CATEGORY, SPLATS_TOOLTIP

FORMATS = ("splats", "ply", "4dgs", "glb", "usd")
WHOLE = {
    "splats": (SUFFIX, save_splats),
    "4dgs": (".4dgs", write_4dgs),
    "usd": (".usdc", write_usd),
}  # one file for all times


class FourRealSaveSplats(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FourRealSaveSplats",
            display_name="4Real Save Splats",
            category=SPLATS_CATEGORY,
            description="Save 4D splats in the output folder, for 4Real Load Splats or for other programs.",
            is_output_node=True,
            inputs=[
                MovingSplats.Input("splats", tooltip=SPLATS_TOOLTIP),
                io.Combo.Input(
                    "format",
                    options=list(FORMATS),
                    default="splats",
                    tooltip="splats: one lossless file, for 4Real Load Splats. ply: one file per time, for SuperSplat and others. 4dgs: one compact file; glb: one file per time; usd: one file that plays. These three need the package fourdgs, and usd needs usd-core too.",
                ),
                io.String.Input(
                    "filename_prefix",
                    default="splats/4real",
                    tooltip="Folder and start of the file name inside the output folder; a number is added.",
                ),
            ],
            outputs=[],
        )

    @classmethod
    @within_limits
    @stops_on_cancel
    def execute(cls, splats, format, filename_prefix) -> io.NodeOutput:
        splats = expect_splats(splats)
        place = output_place(filename_prefix, splats.size[1], splats.size[0])
        folder, name, report = Path(place.folder), f"{place.name}_", counting_progress()
        if format in WHOLE:
            suffix, save = WHOLE[format]
            files = [folder / f"{name}{suffix}"]
            save(splats, files[0])
        else:
            write = {
                "ply": lambda moment, file: write_ply(splats.at(moment), file),
                "glb": lambda moment, file: write_glb(splats, moment, file),
            }[format]
            files = write_sequence(splats, write, folder, place.name, f".{format}", report)
        saved = [{"filename": file.name, "subfolder": place.subfolder, "type": "output"} for file in files]
        said = str(Path(place.subfolder) / files[0].name) + (f" and {len(files) - 1} more" if len(files) > 1 else "")
        return io.NodeOutput(ui={"fourreal_splats": saved, "text": (said,)})


class FourRealLoadSplats(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FourRealLoadSplats",
            display_name="4Real Load Splats",
            category=SPLATS_CATEGORY,
            description="Load 4D splats that 4Real Save Splats wrote in its own format.",
            inputs=[
                io.Combo.Input(
                    "file", options=saved_files(SUFFIX), tooltip="A splat file in ComfyUI's output or input folder."
                )
            ],
            outputs=[MovingSplats.Output("splats", tooltip="The splats exactly as they were saved.")],
        )

    @classmethod
    def validate_inputs(cls, file):
        return file_problem(file, "splat") or True

    @classmethod
    def fingerprint_inputs(cls, file):
        return time_and_size(folder_paths.get_annotated_filepath(file))

    @classmethod
    @within_limits
    @stops_on_cancel
    def execute(cls, file) -> io.NodeOutput:
        return io.NodeOutput(load_splats(folder_paths.get_annotated_filepath(file)))
