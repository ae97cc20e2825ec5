"""Ids in addresses: where something else stands in an id's place, the address is none of ours.

In the flow: address → **id** → route. So DELETE /jobs/finetune is no attempt at a job called "finetune".
"""

from typing import Annotated

from fastapi import Path
from starlette.convertors import StringConvertor, register_url_convertor

_ID = "[0-9a-f]{32}"


class IdConvertor(StringConvertor):
    """What `{job_id:id}` in a route's path stands for."""

    regex = _ID


register_url_convertor("id", IdConvertor())

JobId = Annotated[str, Path(pattern=f"^{_ID}$", description="A job's id")]
CaptureId = Annotated[str, Path(pattern=f"^{_ID}$", description="A capture's id")]
UploadId = Annotated[str, Path(pattern=f"^{_ID}$", description="A resumable upload's id")]
